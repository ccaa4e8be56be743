"""Reports and charts, as self-contained HTML pages."""
