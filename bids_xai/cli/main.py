"""``bids_xai BIDS_DIR OUTPUT_DIR {participant,group}``."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bids_xai import errors
from bids_xai.cli.parser import parse_settings
from bids_xai.errors import CannotCreateError, UsageError, UserError
from bids_xai.settings import LEVELS, RunSettings

LOG = logging.getLogger("bids_xai")
INTERRUPTED = 130
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app; return the exit status (BIDS execution specification, ``sysexits.h``)."""
    _set_environment()
    try:
        settings = parse_settings(argv)
        _set_up_log(settings.verbose)
        if settings.analysis_level not in LEVELS:
            LOG.error(
                "unknown analysis level '%s'. Fix: use %s.",
                settings.analysis_level, " or ".join(LEVELS),
            )  # fmt: skip
            return errors.UNKNOWN_LEVEL
        _check_folders(settings)
        return (
            _participant(settings) if settings.analysis_level == "participant" else _group(settings)
        )
    except UserError as error:
        print(f"bids_xai: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(
            "bids_xai: interrupted. What is finished is kept; the same command goes on from there.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise  # a bug: keeps its traceback
        print(
            f"bids_xai: error: {error.strerror} [{error.filename or settings.output_dir}]. "
            "Fix: check the disk of the output and work folders; the same command goes on from "
            "what is finished.",
            file=sys.stderr,
        )
        return errors.FileAccessError.status


def _set_environment() -> None:
    """Threads and telemetry, before any library reads them; what the user set stays."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    os.environ.setdefault("NO_ET", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _set_home()


def _set_home() -> None:
    """Give libraries a home they can use where a container's user has none."""
    home = Path(os.environ.get("HOME") or "/")
    spare = Path(tempfile.gettempdir()) / f"bids_xai-home-{os.getuid()}"
    if home.exists() and not os.access(home, os.R_OK | os.X_OK):
        os.environ["HOME"] = str(spare)
    if "MPLCONFIGDIR" not in os.environ and not os.access(home, os.W_OK):
        os.environ["MPLCONFIGDIR"] = str(spare / "matplotlib")


def _set_up_log(verbose: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("bids_xai: %(message)s"))
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    LOG.propagate = False


def _check_folders(settings: RunSettings) -> None:
    source, output = settings.bids_dir.resolve(), settings.output_dir.resolve()
    if source == output:
        raise UsageError(
            "the output folder is the input folder", file=output, fix="choose another output folder"
        )
    if source in output.parents and "derivatives" not in output.relative_to(source).parts:
        raise UsageError(
            "the output folder lies inside the input folder",
            file=output,
            fix="choose another output folder, or one below derivatives/",
        )
    work = settings.work_folder.resolve()
    if settings.work_dir is not None and (work == source or source in work.parents):
        raise UsageError(
            "the work folder lies inside the input folder", file=work, fix="choose another one"
        )
    if settings.dry_run:
        return
    for folder in (output, work):
        _check_writable(folder)


def _check_writable(folder: Path) -> None:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise CannotCreateError(
            "cannot write into the folder", file=folder, fix="choose one you may write to"
        )


def _participant(settings: RunSettings) -> int:
    from bids_xai.workflows.participant import run_participants

    started = time.monotonic()
    run = run_participants(settings)
    if settings.dry_run:
        LOG.info("dry run: nothing was written")
        return errors.SOME_FAILED if run.failed else errors.SUCCESS
    if not settings.reports_only:
        LOG.info(
            "%d session(s) done, %d unchanged, %d failed in %.0f s; pages in %s",
            len(run.done), len(run.unchanged), len(run.failed), time.monotonic() - started,
            settings.output_dir,
        )  # fmt: skip
    _say_what_next(settings, bool(run.failed))
    for label, message in sorted(run.failed.items()):
        LOG.error("failed: %s: %s", label, message)
    return errors.SOME_FAILED if run.failed else errors.SUCCESS


def _say_what_next(settings: RunSettings, some_failed: bool) -> None:
    if some_failed:
        LOG.info("next: mend what is named below; the same command does what is missing, no more")
    elif settings.model is None and not settings.reports_only:
        folders = shlex.join([str(settings.bids_dir), str(settings.output_dir)])
        LOG.info("next: look at the pages, then  bids_xai %s group --study quick", folders)


def _group(settings: RunSettings) -> int:
    from bids_xai.group.run import run_group

    page = run_group(settings)
    LOG.info("dry run: nothing was written" if settings.dry_run else "group level done")
    if page is not None:
        print(page)
    return errors.SUCCESS


if __name__ == "__main__":
    sys.exit(main())
