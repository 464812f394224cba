"""A small byte-level tokenizer as a folder and as a model hub's cache: what some peers want before they start, without a network."""

import json
import pathlib
import shutil
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

out = pathlib.Path(sys.argv[1])
tokenizer = Tokenizer(models.BPE(unk_token=None))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
words = "the a of to and in that it is was for on are as with his they at be this from have or by one had not but what all were when we there can"
trainer = trainers.BpeTrainer(
    vocab_size=2000, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
)
tokenizer.train_from_iterator([words, words + " token word prompt answer"] * 50, trainer)

folder = out / "tokenizer"
folder.mkdir(parents=True, exist_ok=True)
tokenizer.save(str(folder / "tokenizer.json"))
(folder / "tokenizer_config.json").write_text(
    json.dumps(
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|end|>",
            "model_max_length": 131072,
            "chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
        }
    )
)
(folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": tokenizer.get_vocab_size()}))

hub = out / "hf" / "hub" / "models--local--tok"
revision = "0" * 40
shutil.rmtree(hub, ignore_errors=True)
(hub / "refs").mkdir(parents=True)
(hub / "refs" / "main").write_text(revision)
shutil.copytree(folder, hub / "snapshots" / revision)
