//! Vocabularies: embedded ones and a tokenizer.json of the user's own.
