"""Settings: one pydantic model a stage, the one source of the defaults, the JSON schema and the configuration page."""
