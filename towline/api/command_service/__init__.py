"""What AWS's CodeDeploy agent speaks: CodeDeployCommandService_v20141006, and its downloads in the form of S3."""
