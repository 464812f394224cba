//! Request paths and bodies of chat, completions and embeddings, OpenAI-compatible and Databricks.
