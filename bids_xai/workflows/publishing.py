"""The last node of a graph: products get their final names, then the stamp is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiPath,
    SimpleInterface,
    TraitedSpec,
    traits,
)
from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from bids_xai.bids.manifest import publish
from bids_xai.bids.stamps import StampRecord, remove_leftovers, stamped_outputs, write_stamp
from bids_xai.tables.qc import write_session_qc


class _PublishInput(BaseInterfaceInputSpec):
    manifests = InputMultiPath(File(exists=True), mandatory=True)
    output_dir = traits.Str(mandatory=True)
    stamp = traits.Str(mandatory=True)
    digest = traits.Str(mandatory=True)
    provenance = traits.Dict(mandatory=True, desc="methods and settings, for the stamp")


class _PublishOutput(TraitedSpec):
    stamp = File(exists=True)


class Publish(SimpleInterface):
    """Gives every product of a session its final name, then writes the stamp."""

    input_spec = _PublishInput
    output_spec = _PublishOutput
    _always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        root = Path(self.inputs.output_dir)
        manifests = [Path(manifest) for manifest in self.inputs.manifests]
        stamp = Path(self.inputs.stamp)
        before = stamped_outputs(stamp, root)
        stamp.unlink(missing_ok=True)  # until all is in place, the session counts as undone
        written = [path for manifest in manifests for path in publish(manifest, root)]
        written += write_session_qc(manifests, root)
        remove_leftovers(before - set(written), {path.parent for path in written})
        write_stamp(stamp, self.inputs.digest, root, written, **self.inputs.provenance)
        self._results = {"stamp": str(stamp)}
        return runtime


def publish_all(
    workflow: pe.Workflow, manifests: Sequence[pe.Node], output_dir: Path, record: StampRecord
) -> None:
    """Add the last node: products of all ``manifests`` get their final names, then the stamp."""
    interface = Publish(
        output_dir=str(output_dir.resolve()),
        stamp=str(record.stamp),
        digest=record.digest,
        provenance=record.provenance,
    )
    last = stage_node(interface, "publish")
    gather = pe.Node(Merge(len(manifests)), "gather", run_without_submitting=True)
    for index, node in enumerate(manifests):
        workflow.connect(node, "manifest", gather, f"in{index + 1}")
    workflow.connect(gather, "out", last, "manifests")


def stage_node(interface: Any, name: str, mem_gb: float = 1.0) -> pe.Node:
    """Return a node of one thread."""
    return pe.Node(interface, name=name, mem_gb=mem_gb, n_procs=1)
