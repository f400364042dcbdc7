"""The published interface over gRPC, and the code that protoc makes from it."""
