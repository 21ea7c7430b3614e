"""The AWS-compatible API: CodeDeploy's wire protocols over towline's services. `towline api` serves it."""
