"""Configurations: validated when made, through TOML and back."""

import dataclasses

import pytest

import reram_torch as rt
from reram_torch.config.sections import Config


@pytest.mark.parametrize("name", rt.config_names())
def test_named_configurations_load_and_survive(name, tmp_path):
    config = rt.load_config(name)
    path = tmp_path / "copy.toml"
    config.save(path)
    assert rt.load_config(path) == config
    assert Config.from_dict(config.to_dict()) == config


def test_the_default_is_the_isaac_baseline():
    assert rt.load_config("isaac") == rt.Config()
    assert {"isaac", "twin_range"} <= set(rt.config_names())


def test_a_configuration_without_an_adc_takes_what_its_arrays_need(tmp_path):
    config = rt.Config()
    assert config.adc is None
    assert "adc" not in config.to_dict()
    (tmp_path / "plain.toml").write_text("[crossbar]\ncell_bits = 4\n")
    config = rt.load_config(tmp_path / "plain.toml")
    assert config == rt.Config(rt.CrossbarConfig(cell_bits=4))
    assert rt.ReRAMLinear(300, 2, config=config).adc == (rt.UniformSAR(11),)  # sums up to 1920
    narrow = dataclasses.replace(config, crossbar=rt.CrossbarConfig())
    assert rt.ReRAMLinear(300, 2, config=narrow).adc == (rt.UniformSAR(8),)


@pytest.mark.parametrize(
    ("crossbar", "encoding", "bits"),
    [
        ({}, "offset", 8),
        ({"rows": 16}, "offset", 8),  # fewer would do: nothing is saved that nobody asked for
        ({"rows": 256}, "offset", 9),  # 256 itself is a sum
        ({"cell_bits": 4}, "dual", 11),
        ({}, "differential", 9),  # from -128 to 128
        ({"rows": 127}, "differential", 8),
        ({"rows": 64, "cell_bits": 2, "dac_bits": 2}, "differential", 11),
    ],
)
def test_the_default_adc_converts_every_sum(crossbar, encoding, bits):
    config = rt.Config(rt.CrossbarConfig(**crossbar), rt.WeightConfig(encoding=encoding))
    layer = rt.ReRAMLinear(5, 2, config=config)
    assert layer.adc == (rt.UniformSAR(bits),)
    assert f"adc=UniformSAR(bits={bits}, step=1)" in repr(layer)
    g = layer.geometry
    assert layer.tables().levels[0].tolist() == list(range(g.lowest, g.highest + 1))


def test_a_named_adc_is_kept(tmp_path):
    config = rt.Config(rt.CrossbarConfig(cell_bits=4), adc=rt.UniformSAR(8))
    config.save(tmp_path / "eight.toml")
    assert rt.load_config(tmp_path / "eight.toml") == config
    assert rt.ReRAMLinear(5, 2, config=config).adc == (rt.UniformSAR(8),)
    assert dataclasses.replace(config, adc=None) != config


def test_replace_works_on_each_part():
    config = rt.Config()
    crossbar = dataclasses.replace(config.crossbar, rows=64)
    assert dataclasses.replace(config, crossbar=crossbar).crossbar.rows == 64
    with pytest.raises(ValueError, match=r"crossbar.rows .* from 1 to 4096, not 0"):
        dataclasses.replace(config.crossbar, rows=0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[crosbar]\nrows = 3", "unknown section 'crosbar'; known: .* mean 'crossbar'"),
        ("[crossbar]\nrow = 3", "crossbar: unknown key 'row'; known: .*'rows'.* mean 'rows'"),
        ("[crossbar]\nrows = 1.5", "crossbar.rows must be a whole number"),
        ("[crossbar]\ncell_bits = 5", "crossbar.cell_bits .* 1 to 4"),
        ("[weights]\nencoding = 'ofset'", "weights.encoding must be one of .*'offset'"),
        ("[weights]\nbits = 1", "one bit holds only the code 0"),
        ("[inputs]\nbits = 9", "inputs.bits"),
        ("[adc]\nkind = 'uniform'\nstep = 3", "power of two"),
        ("[adc]\nbits = 3", "adc.kind"),
        ("[search]\nreduction = 2.0", "'design' is missing"),
        ("[search]\ndesign = 'twin_range'", "exactly one of reduction="),
        ("[search]\ndesign = 'uniform'\nreduction = 2.0\ngranularity = 'bit'", "granularity"),
        (
            "[search]\ndesign = 'uniform'\nreduction = -1.0",
            "reduction must be a finite number above 0",
        ),
        ("[search]\ndesign = 'twin-range'\nreduction = 2", "design must be one of .*'twin_range'"),
        ("[search]\ndesign = 'uniform'\nmax_drop = 5", "max_drop must be a number from 0 to 1"),
        ("[crossbar]\nrows = 512\ncell_bits = 4\ndac_bits = 4", "more than 16 bits"),
        ("crossbar = 3", "crossbar must be a table"),
        ("[crossbar\n", "config.toml"),
    ],
)
def test_bad_files_are_named(text, match, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        rt.load_config(path)


def test_missing_configurations_are_named(tmp_path):
    message = r"no configuration named 'isac'.*; known: .*'newton'.*; did you mean 'isaac'\?"
    with pytest.raises(FileNotFoundError, match=message):
        rt.load_config("isac")
    with pytest.raises(FileNotFoundError, match="nothing.toml"):
        rt.load_config(tmp_path / "nothing.toml")


def test_sections_have_their_types():
    with pytest.raises(TypeError, match="config.crossbar"):
        rt.Config(crossbar={"rows": 3})
    with pytest.raises(TypeError, match="config.adc"):
        rt.Config(adc="uniform")
