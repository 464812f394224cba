//! Vocabularies: embedded ones and a tokenizer.json of the user's own.

use crate::scenario::workload::Tokenizer;
use kitoken::Kitoken;
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

    /// The vocabulary of a Hugging Face `tokenizer.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        Kitoken::from_tokenizers_slice(bytes).map(|k| Self::File(Box::new(k))).map_err(|e| Error::Unusable { reason: e.to_string() })
    }

    /// How many tokens `text` is, without special tokens and without any chat template.
    #[must_use]
    pub fn count(&self, text: &str) -> u32 {
        let count = match self {
            Self::Embedded(e) => e.bpe().count(text),
            Self::File(k) => k.encode(text, false).map_or(0, |tokens| tokens.len()),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl Embedded {
    fn bpe(self) -> &'static CoreBpe {
        tiktoken::get_encoding(self.name).expect("`embedded` asked the list of this very build")
    }
}
