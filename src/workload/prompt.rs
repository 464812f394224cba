//! Prompts with an exact token count: unique by default, with a shared prefix on request.
