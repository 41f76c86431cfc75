"""One way to read and write files by address: local folders, and s3://BUCKET/PREFIX on any S3-compatible server."""
