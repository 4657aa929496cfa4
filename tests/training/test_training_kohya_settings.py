"""Settings of kohya's scripts and page, read as ours."""

import json

import pytest

from studio.errors import RequestError
from studio.requests import validated
from studio.training.kohya_settings import read_settings
from studio.training.toml_files import write_toml
from studio.training_requests import TrainRequest

SCRIPT = """
[model_arguments]
pretrained_model_name_or_path = "/models/base v1.safetensors"
[additional_network_arguments]
network_module = "networks.lora"
network_dim = 32
network_alpha = 16
network_args = ["conv_dim=8", "conv_alpha=4.0", "block_dims=1,2"]
unet_lr = 2e-4
text_encoder_lr = [5e-5, 1e-5]
[training_arguments]
output_name = "rex"
train_batch_size = 2
gradient_accumulation_steps = 4
max_train_steps = 1600
optimizer_type = "PagedAdamW8bit"
optimizer_args = ["weight_decay=0.1", "betas=0.9,0.99"]
lr_scheduler = "cosine_with_restarts"
lr_warmup_steps = 160
min_snr_gamma = 5
noise_offset = 0.05
multires_noise_iterations = 6
multires_noise_discount = 0.3
resolution = "768,512"
enable_bucket = true
caption_dropout_rate = 0.05
shuffle_caption = true
keep_tokens = 1
mixed_precision = "bf16"
gradient_checkpointing = true
cache_latents = true
clip_skip = 2
seed = 42
sample_prompts = "prompts.txt"
"""
PAGE = {
    "LoRA_type": "Standard",
    "conv_dim": 32,
    "conv_alpha": 32,
    "dora_wd": True,
    "network_dim": 32,
    "network_alpha": "32",
    "max_train_steps": "320",
    "epoch": 160,
    "learning_rate": 0.0001,
    "unet_lr": 0.0,
    "text_encoder_lr": 0.0,
    "optimizer": "AdamW",
    "lr_scheduler": "adafactor",
    "lr_warmup": 10,
    "max_resolution": "1024,1024",
    "max_timestep": 900,
    "clip_skip": "1",
    "loss_type": "l2",
    "caption_dropout_rate": 0,
    "output_name": "rex",
    "sample_prompts": "a dog --w 512 --h 512\n\n# not this\na cat, sitting --s 20",
    "train_data_dir": "C:\\pictures",
    "prior_loss_weight": 1.0,
    "min_snr_gamma": 0,
    "flip_aug": True,
    "noise_offset": "much",
}


def test_the_scripts_options_are_read():
    found = read_settings(SCRIPT)
    assert found.fields == {
        "name": "rex",
        "rank": 32,
        "alpha": 16.0,
        "conv_rank": 8,
        "conv_alpha": 4.0,
        "learning_rate": 2e-4,
        "text_rate": 5e-5,
        "text_encoder": True,
        "batch_size": 8,
        "micro_batch": 2,
        "steps": 1600,
        "optimiser": "adamw-8bit",
        "weight_decay": 0.1,
        "schedule": "cosine-restarts",
        "warmup": 0.1,
        "min_snr_gamma": 5.0,
        "noise_offset": 0.05,
        "multires_noise": 0.3,
        "resolution": 627,
        "buckets": True,
        "caption_dropout": 0.05,
        "shuffle_tags": True,
        "keep_tokens": 1,
        "precision": "bfloat16",
        "checkpointing": True,
        "seed": 42,
    }
    assert found.notices == (
        "Sample prompts are in 'prompts.txt', which is not read.",
        "The model is '/models/base v1.safetensors': choose it among those here.",
        "Left out, as nothing here answers to it: betas, block_dims, clip_skip.",
    )


def test_the_pages_json_is_read():
    found = read_settings(json.dumps(PAGE))
    assert found.fields == {
        "name": "rex",
        "rank": 32,
        "alpha": 32.0,
        "steps": 320,
        "learning_rate": 1e-4,
        "text_encoder": False,
        "optimiser": "adamw",
        "schedule": "constant",
        "warmup": 0.1,
        "min_snr_gamma": 0.0,
        "resolution": 1024,
        "buckets": False,
        "flip": True,
        "prior_weight": 1.0,
        "sample_prompts": ["a dog", "a cat, sitting"],
    }
    assert found.notices == (
        "Left out: noise_offset is 'much', which is not known here.",
        "The pictures are in 'C:\\\\pictures': give them as a picture set.",
        "Left out: lr_scheduler is 'adafactor', which is not known here.",
        "Left out, as nothing here answers to it: max_timestep.",
    )


@pytest.mark.parametrize("text", [SCRIPT, json.dumps(PAGE)])
def test_what_is_read_is_a_request(text):
    request = validated(TrainRequest, {"pictures": "rex", **read_settings(text).fields})
    assert request.rank == 32


def test_what_theirs_does_by_itself_is_done():
    """Without a word of it: a flat rate, alpha 1, all cut square, text encoders trained too."""
    fields = read_settings("network_dim = 8\nlearning_rate = 1e-4").fields
    request = validated(TrainRequest, {"name": "n", "pictures": "p", **fields})
    assert request.alpha == 1
    assert request.schedule == "constant"
    assert (request.warmup, request.min_snr_gamma, request.buckets) == (0, 0, False)
    assert (request.text_encoder, request.text_rate) == (True, 1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "learning_rate = 1e-4\nnetwork_dim = 8\nnetwork_train_unet_only = true",
        "learning_rate = 1e-4\nnetwork_dim = 8\ncache_text_encoder_outputs = true",
        "learning_rate = 1e-4\nnetwork_dim = 8\ntext_encoder_lr = 0.0",
        '{"learning_rate": 1e-4, "network_dim": 8, "sdxl_cache_text_encoder_outputs": true}',
    ],
)
def test_text_encoders_that_theirs_leaves_alone_are_left_alone(text):
    assert read_settings(text).fields["text_encoder"] is False
    assert "text_rate" not in read_settings(text).fields


def test_epochs_are_told_and_not_taken():
    found = read_settings("network_dim = 8\nmax_train_steps = 1600\nmax_train_epochs = 10")
    assert "steps" not in found.fields
    assert found.notices == ("Steps follow from the pictures, as the file gives 10 epochs alone.",)
    warm = read_settings("network_dim = 8\nlr_warmup_steps = 100")
    assert warm.notices == ("Left out: 100 steps of warm-up of an unknown number.",)
    assert read_settings("network_dim = 8\nlr_warmup_steps = 0.2").fields["warmup"] == 0.2


def test_a_textual_inversion_and_a_foreign_kind():
    found = read_settings(
        'train_batch_size = 1\ntoken_string = "sks"\ninit_word = "dog"\nnum_vectors_per_token = 2'
    )
    assert found.fields["method"] == "textual-inversion"
    assert found.fields["trigger"] == "sks"
    assert found.fields["initial_word"] == "dog"
    assert found.fields["vectors"] == 2
    assert read_settings('{"LoRA_type": "LyCORIS/LoKr", "network_dim": 4}').notices == (
        "A LoRA is trained, as lokr is not trained here.",
    )
    assert read_settings('{"LoRA_type": "LyCORIS/DoRA", "network_dim": 4}').fields["dora"] is True
    assert read_settings('{"LoRA_type": "Kohya LoCon", "conv_dim": 4}').fields["conv_rank"] == 4


def test_our_own_file_is_ours():
    request = TrainRequest(name="rex", pictures="p", rank=3)
    found = read_settings(write_toml(request))
    assert validated(TrainRequest, found.fields) == request
    assert found.notices == ()
    with pytest.raises(RequestError, match="'rnak' in"):
        read_settings("[shape]\nrnak = 3")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "The settings are no JSON: Expecting property name"),
        ("{" * 100_000, "The settings are no JSON: "),
        ('{"a": ' + "[" * 100_000, "The settings are no JSON: "),
        ("{" + " " * 10**6 + "}", "The settings are no JSON: it has 1,000,002 characters"),
        ("[[datasets]]\nresolution = 512", "These settings describe pictures"),
        ("a = ", "The settings are no TOML"),
    ],
)
def test_what_cannot_be_read_is_said(text, says):
    with pytest.raises(RequestError) as refused:
        read_settings(text)
    assert str(refused.value).startswith(says)


def test_rates_of_optimisers_that_find_their_own_are_not_those_of_others():
    theirs = 'network_dim = 8\nunet_lr = 1.0\noptimizer_type = "{}"\n'
    assert read_settings(theirs.format("Prodigy")).fields["learning_rate"] == 1
    found = read_settings(theirs.format("DAdaptAdam"))
    assert "learning_rate" not in found.fields
    assert found.notices == (
        "Left out: optimizer_type is 'DAdaptAdam', which is not known here.",
        "Left out: learning_rate 1, which suits Prodigy alone.",
    )
