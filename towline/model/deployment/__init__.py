"""One deployment as people see it: request, status, view, report, and the sentences about it."""
