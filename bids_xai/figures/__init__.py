"""Arrays in, PNG or SVG bytes out. Knows neither BIDS nor files; equal arrays give equal bytes."""
