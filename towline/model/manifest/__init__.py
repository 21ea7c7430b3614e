"""towline.yaml: its shape, its rules, and the records that it declares."""
