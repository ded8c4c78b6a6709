//! The built-in storage plug-ins: memory and file, and S3, GCS and Azure behind features.
