"""Strict mode refuses what the hank-ai fork refuses, with the line; the plain mode takes the same text."""

import pytest

from vedette.learn.darknet.cfg import parse_cfg, read_cfg
from vedette.learn.darknet.errors import CfgError

HEAD = "[net]\nwidth=32\nheight=32\nchannels=3\n"  # the layer's section is line 5, its first option line 6


def strict(text: str):
    return parse_cfg(text, "my.cfg", strict=True)


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("[convolutional]\nfilters=3\nsize=1\nfilters=3\n", 8, "filters= stands in line 6 already"),
        ("[convolutional]\nfilter=3\n", 6, "filter= is no option that this section reads"),
        ("[convolutional]\nmask=0\n", 6, "mask= is no option"),  # one of [yolo]
        ("[convolutional]\nfilters=three\n", 6, "filters=three needs a number"),
        ("[convolutional]\nfilters=1e2\n", 6, "filters=1e2 needs a number"),  # no exponents there
        ("[convolutional]\nfilters=+3\n", 6, "needs a number"),
        ("[convolutional]\nfilters=2 5\n", 6, "filters=2 5 needs a number"),
        ("[convolutional]\nfilters=--\n", 6, "needs a number"),
        ("[convolutional]\n;filters=3\n", 6, ";filters= is no option"),  # ; opens no comment there
        ("[maxpool]\nfrom=-1\n", 6, "from= is no option"),
        ("[scale_channels]\nfrom=-1,-2\n", 6, "from=-1,-2 needs a number"),
        ("[reorg]\nstride=2\n", 5, "does not know this kind of section"),
        ("[Yolo]\n", 5, "does not know this kind of section"),
        ("[ route ]\nlayers=-1\n", 5, "does not know this kind of section"),
    ],
)
def test_refused_with_the_line(body: str, line: int, message: str):
    with pytest.raises(CfgError, match=rf"^my\.cfg, line {line}, \[.*{message}"):
        strict(HEAD + body)
    parse_cfg(HEAD + body)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("policy=steps\nsteps=1,2\nscales=.1,.1\n", None),
        ("policy=constant\nsteps=1,2\n", "steps= is no option"),  # read under the policies that have steps only
        ("steps=1,2\n", "steps= is no option"),
        ("policy=step\nstep=5\nscale=.1\n", None),
        ("adam=1\nB1=.9\n", None),
        ("adam=0\nB1=.9\n", "B1= is no option"),
        ("max_crop=448\n", "max_crop= is no option"),
    ],
)
def test_options_of_net_that_others_ask_for(net: str, message: str | None):
    text = HEAD + net + "[avgpool]\n"
    if message is None:
        assert strict(text).net.name == "net"
    else:
        with pytest.raises(CfgError, match=message):
            strict(text)


@pytest.mark.parametrize(
    ("line", "key", "values"),
    [
        ("filters=255 # three heads", "filters", (255,)),
        ("  filters = 255# three heads\r", "filters", (255,)),
        ("filters=-.5", "filters", (-0.5,)),
    ],
)
def test_comments_end_a_value_anywhere(line: str, key: str, values: tuple[float, ...]):
    assert strict(f"{HEAD}[convolutional]\n{line}\n").layers[0].numbers(key) == values


def test_text_values_and_section_lines_may_carry_comments_too():
    cfg = strict(HEAD + "[conv] # first\nactivation=leaky # slope 0.1\n[yolo]\nmask = 0, 1 # two\nanchors=1, 2\n")
    assert cfg.layers[0].text("activation", "") == "leaky"
    assert cfg.layers[1].integers("mask") == (0, 1)
    assert [layer.line for layer in cfg.layers] == [5, 7]


def test_lines_that_are_no_option_are_skipped():
    assert strict(HEAD + "[conv]\n# filters=9\nsize\npad=\nfilters=4\n").layers[0].integer("filters", 1) == 4


def test_a_message_stays_printable_and_short():
    with pytest.raises(CfgError) as error:
        strict(HEAD + "[convolutional]\nfilters=\x1b" + "9" * 500 + "\n")
    assert len(str(error.value)) < 200 and "\x1b" not in str(error.value)


# cfg of the real data -> where strict mode refuses it
REFUSED = {
    "Gaussian_yolov3_BDD": "line 24, [net]: max_epochs=",
    "darknet": "line 9, [net]: max_crop=",
    "darknet19": "line 9, [net]: max_crop=",
    "darknet53": "line 13, [net]: min_crop=",
    "pjreddie-yolov2": "line 219, [reorg]:",
    "yolo-voc": "line 219, [reorg]:",
    "yolov2": "line 219, [reorg]:",
    "yolov2-voc": "line 219, [reorg]:",
    "yolov3-openimages": "line 6, [net]: batch= stands in line 3",
}


@pytest.mark.real_data
def test_every_published_cfg_is_judged_in_both_modes(real_data):
    found = {}
    paths = sorted((real_data / "darknet" / "cfg").glob("*.cfg"))
    for path in paths:
        read_cfg(path)
        try:
            read_cfg(path, strict=True)
        except CfgError as error:
            found[path.stem] = str(error)
    assert len(paths) == 39 and found.keys() == REFUSED.keys()
    assert all(REFUSED[name] in message for name, message in found.items())
