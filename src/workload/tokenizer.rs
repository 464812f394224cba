//! Vocabularies: embedded ones and a tokenizer.json of the user's own.

use crate::scenario::workload::Tokenizer;
use kitoken::{Definition, Kitoken, Processing};
use tiktoken::CoreBpe;

/// Counts tokens as the model behind the endpoint would. Shared between threads.
pub enum Vocabulary {
    /// One that is compiled in; unpacked at its first use.
    Embedded(Embedded),
    /// A `tokenizer.json` of the user's own.
    File(Box<Kitoken>),
}

/// A vocabulary that is compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    name: &'static str,
}

/// Why there is no vocabulary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tokenizer file must be read before it can be used.
    #[error("tokenizer {path}: not an embedded vocabulary; it must be read from its file")]
    NotEmbedded {
        /// The file.
        path: String,
    },
    /// Compiled without this vocabulary.
    #[error("the vocabulary {name} is not part of this build; expected one of llama3, o200k, cl100k, qwen2, or a tokenizer.json")]
    Absent {
        /// Its name.
        name: &'static str,
    },
    /// The file is not a tokenizer that can be loaded here.
    #[error("not a usable tokenizer.json: {reason}; expected the Hugging Face format with a BPE, Unigram or WordPiece model")]
    Unusable {
        /// What the loader says.
        reason: String,
    },
}

impl Vocabulary {
    /// The embedded vocabulary of that name. Cheap: it is unpacked at its first use.
    pub fn embedded(tokenizer: &Tokenizer) -> Result<Self, Error> {
        let name = match tokenizer {
            Tokenizer::Llama3 => "llama3",
            Tokenizer::O200k => "o200k_base",
            Tokenizer::Cl100k => "cl100k_base",
            Tokenizer::Qwen2 => "qwen2",
            Tokenizer::File(path) => return Err(Error::NotEmbedded { path: path.display().to_string() }),
        };
        if tiktoken::list_encodings().contains(&name) { Ok(Self::Embedded(Embedded { name })) } else { Err(Error::Absent { name }) }
    }

    /// The vocabulary of a Hugging Face `tokenizer.json`. A truncation or padding stated in the file is left out: it would cap the count.
    ///
    /// # Errors
    /// The file cannot be loaded, or what it loads to gives no tokens for plain words.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let unusable = |reason: &dyn std::fmt::Display| Error::Unusable { reason: reason.to_string() };
        let mut definition = Definition::from_tokenizers_slice(bytes).map_err(|e| unusable(&e))?;
        definition.config.processing.retain(|p| !matches!(p, Processing::Pad { .. } | Processing::Truncate { .. }));
        let vocabulary = Self::File(Box::new(Kitoken::from_definition(definition).map_err(|e| unusable(&e))?));
        match vocabulary.encode("the time of day") {
            Ok(tokens) if !tokens.is_empty() => Ok(vocabulary),
            Ok(_) => Err(unusable(&"it gives no tokens for \"the time of day\"")),
            Err(error) => Err(error),
        }
    }

    /// How many tokens `text` is, without special tokens and without any chat template. Text that the vocabulary cannot express counts nothing.
    #[must_use]
    pub fn count(&self, text: &str) -> u32 {
        let count = match self {
            Self::Embedded(e) => e.bpe().count(text),
            Self::File(k) => k.encode(text, false).map_or(0, |tokens| tokens.len()),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The token numbers of `text`, without special tokens.
    ///
    /// # Errors
    /// The vocabulary has no token for a part of the text, and no rule for such parts.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        match self {
            Self::Embedded(e) => Ok(e.bpe().encode(text)),
            Self::File(k) => k.encode(text, false).map_err(|e| Error::Unusable { reason: e.to_string() }),
        }
    }

    /// The text of token numbers; `None` for a number that is not in the vocabulary or bytes that are not UTF-8.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> Option<String> {
        let bytes = match self {
            Self::Embedded(e) => e.bpe().decode(tokens),
            Self::File(k) => k.decode(tokens, false).ok()?,
        };
        String::from_utf8(bytes).ok()
    }
}

impl Embedded {
    fn bpe(self) -> &'static CoreBpe {
        tiktoken::get_encoding(self.name).expect("`embedded` asked the list of this very build")
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(e) => write!(f, "Vocabulary({})", e.name),
            Self::File(_) => f.write_str("Vocabulary(tokenizer.json)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../tests/data/tokenizer_small.json");

    #[test]
    fn embedded_vocabularies_give_the_published_numbers() {
        let of = |t| Vocabulary::embedded(&t).unwrap();
        assert_eq!(of(Tokenizer::Cl100k).encode("hello world").unwrap(), [15339, 1917]);
        assert_eq!(of(Tokenizer::Cl100k).decode(&[15339, 1917]).as_deref(), Some("hello world"));
        for tokenizer in [Tokenizer::Llama3, Tokenizer::O200k, Tokenizer::Cl100k, Tokenizer::Qwen2] {
            assert_eq!(of(tokenizer).count("The quick brown fox."), 5);
        }
        assert!(matches!(Vocabulary::embedded(&Tokenizer::File("t.json".into())), Err(Error::NotEmbedded { .. })));
    }

    /// The numbers are those of the Hugging Face library for the same file.
    #[test]
    fn a_tokenizer_file_counts_as_the_library_it_comes_from() {
        let v = Vocabulary::from_json(FIXTURE).unwrap();
        for (text, tokens) in FIXTURE_COUNTS {
            assert_eq!(v.count(text), tokens, "{text:?}");
            assert_eq!(v.decode(&v.encode(text).unwrap()).as_deref(), Some(text));
        }
    }

    const FIXTURE_COUNTS: [(&str, u32); 4] = [
        ("the time of day and the way of the world", 10),
        ("Hello, World! 12345", 15),
        ("naïve café — ünïcödé 😀", 31),
        ("a  b\n\n  c\tthe people. they were", 13),
    ];

    #[test]
    fn a_truncation_in_the_file_does_not_cap_the_count() {
        let mut json: serde_json::Value = serde_json::from_slice(FIXTURE).unwrap();
        json["truncation"] = serde_json::json!({ "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0 });
        let v = Vocabulary::from_json(json.to_string().as_bytes()).unwrap();
        assert!(v.count(&"time and ".repeat(50)) >= 100);
    }

    #[test]
    fn what_is_no_tokenizer_says_why() {
        for bytes in [&b""[..], b"{}", b"\xff\xfe", br#"{"version":"1.0","model":{"type":"WordLevel","vocab":{}}}"#] {
            let error = Vocabulary::from_json(bytes).unwrap_err().to_string();
            assert!(error.contains("tokenizer.json: ") && error.contains("expected"), "{error}");
        }
    }
}
