"""An app for tests of the deployment engine."""
