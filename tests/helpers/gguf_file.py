"""The GGUF file of a small Qwen3, whose tokens are written as their numbers: `<17>`."""

import json
import re
from pathlib import Path

from gguf import MODEL_ARCH, GGUFWriter, get_tensor_name_map
from safetensors.numpy import load_file


def write(folder: Path, path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    count = config["vocab_size"]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"<{number}>" for number in range(count)])
    writer.add_token_scores([0.0] * count)
    writer.add_token_types([1] * count)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = get_tensor_name_map(MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for name, weights in load_file(folder / "model.safetensors").items():
        found = names.get_name(name, try_suffixes=(".weight",))
        assert found is not None, name
        writer.add_tensor(found, weights.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def numbers(text: str) -> list[int]:
    """Return the tokens of a text that the model wrote."""
    return [int(number) for number in re.findall(r"<(\d+)>", text)]
