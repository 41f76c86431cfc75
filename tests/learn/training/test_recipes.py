"""Recipes: what a cfg asks for is read, files are written and read again, mistakes are told with their place."""

import math
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from drawn_shapes import draw_data, write_cfg
from vedette.contracts.errors import InputError
from vedette.contracts.frame import ResizeMode
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.darknet_loss import YoloLearning
from vedette.learn.darknet.errors import CfgError
from vedette.learn.darknet.layers import IouLoss
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.region_loss import RegionLearning
from vedette.learn.data.reading import read_data_set
from vedette.learn.training.augment import LabelledPicture
from vedette.learn.training.class_weights import class_weights, parse_class_weights
from vedette.learn.training.darknet_pictures import change, input_size
from vedette.learn.training.darknet_recipe import (
    DarknetRecipe,
    Policy,
    darknet_recipe_from_flat,
    honoured,
    not_honoured,
    read_darknet_recipe,
)
from vedette.learn.training.errors import ResumeError, SettingsError
from vedette.learn.training.freezing import count_frozen, layers_held, parse_freeze, parse_unfreezing
from vedette.learn.training.loading import PictureStore
from vedette.learn.training.recipe_file import RECIPE_FILE, choose_recipe, recipe_text
from vedette.learn.training.recipe_keys import NET_KEYS, REGION_KEYS, VEDETTE_KEYS, YOLO_KEYS
from vedette.learn.training.recipes import (
    changed_recipe,
    length_line,
    new_settings,
    recipe_lines,
    resumed_settings,
    with_length_for,
)
from vedette.learn.training.settings import Recipe, TrainSettings, differences, settings_from_flat

CFG = """[net]
batch=64
subdivisions=8
width=64
height=64
channels=3
momentum=0.949
decay=0.0005
angle=0
saturation = 1.5
exposure = 1.5
hue=.1
learning_rate=0.0013
burn_in=1000
max_batches = 5000
policy=steps
steps=4000,4500
scales=.1,.2
mosaic=1
adam=1
dynamic_minibatch=1

[convolutional]
filters=21
size=1
stride=8
stopbackward=800
activation=linear

[yolo]
mask = 0,1,2
anchors = 12, 16, 19, 36, 40, 28
classes=2
num=3
jitter=.3
scale_x_y = 1.05
cls_normalizer=1.0
iou_normalizer=0.07
iou_loss=ciou
ignore_thresh = .7
truth_thresh = 1
random=1
resize=1.5
nms_kind=greedynms
beta_nms=0.6
max_delta=5
counters_per_class=10,200
map=coco.map
"""


def test_a_cfg_says_how_it_is_trained() -> None:
    recipe = read_darknet_recipe(parse_cfg(CFG))
    assert (recipe.batch, recipe.subdivisions, recipe.step_pictures, recipe.max_batches) == (64, 8, 64, 5000)
    assert (recipe.momentum, recipe.decay, recipe.learning_rate) == (0.949, 0.0005, 0.0013)
    assert (recipe.policy, recipe.steps, recipe.scales) == (Policy.STEPS, (4000, 4500), (0.1, 0.2))
    assert (recipe.jitter, recipe.resize, recipe.random, recipe.mosaic, recipe.flip) == (0.3, 1.5, 1.0, True, True)
    (head,) = recipe.heads
    assert head == YoloLearning(
        ignore_thresh=0.7, iou_loss=IouLoss.CIOU, iou_normalizer=0.07, max_delta=5, counters_per_class=(10, 200)
    )
    assert darknet_recipe_from_flat(recipe.to_flat()) == recipe


def test_what_is_not_followed_is_named_and_what_does_nothing_is_not() -> None:
    cfg = parse_cfg(CFG)
    assert not_honoured(cfg) == [
        "[net] adam=1", "[net] dynamic_minibatch=1", "[convolutional] stopbackward=800", "[yolo] map=coco.map"
    ]  # fmt: skip
    assert {"[net] learning_rate", "[net] burn_in", "[yolo] jitter", "[yolo] iou_loss"} <= set(honoured(cfg))
    assert not {"[net] angle", "[net] width", "[yolo] anchors"} & {*honoured(cfg), *not_honoured(cfg)}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("momentum=0.949", "momentum=2", r"line 7.*momentum=2 is not a number between 0 and 0.9999"),
        ("policy=steps", "policy=stairs", r"line 16.*policy=stairs is not one of constant"),
        ("scales=.1,.2", "scales=.1", r"as many scales as steps: it has 2 steps, 1 scales"),
        ("counters_per_class=10,200", "counters_per_class=10", r"one number for each class"),
        ("iou_loss=ciou", "iou_loss=eiou", r"iou_loss=eiou is not one of mse"),
        ("hue=.1", "hue=red", r"hue=red needs a finite number"),
    ],
)
def test_a_cfg_that_cannot_be_followed_is_refused_with_its_line(old: str, new: str, what: str) -> None:
    with pytest.raises(CfgError, match=what):
        read_darknet_recipe(parse_cfg(CFG.replace(old, new)))


def asked(folder: Path, **more: object) -> dict[str, object]:
    (folder / "own.cfg").write_text(CFG)
    return {"data": str(folder), "model": str(folder / "own.cfg"), **more}


def test_settings_of_every_recipe_survive_their_file(tmp_path: Path) -> None:
    for choice in ({}, {"recipe": "darknet"}, {"recipe": "darknet", "epochs": 7, "batch": 32}):
        settings = new_settings(asked(tmp_path, **choice))
        assert settings_from_flat(settings.to_flat()) == settings
        written = tmp_path / RECIPE_FILE
        written.write_text(recipe_text(settings))
        again = new_settings(asked(tmp_path, **{**choice, "recipe": str(written)}))
        assert again == settings
        assert resumed_settings(settings.to_flat(), {"recipe": str(written)}) == settings
    assert settings.batch == 32
    assert (settings.epochs, settings.steps(10)) == (7, 70)
    for batch, parts in ((64, 8), (8, 1), (5, 1), (20, 4), (13, 13)):  # never more than the cfg's 8 at once
        recipe = new_settings(asked(tmp_path, recipe="darknet", batch=batch)).darknet
        assert recipe is not None
        assert (recipe.step_pictures, recipe.subdivisions) == (batch, parts)
    by_cfg = new_settings(asked(tmp_path, recipe="darknet"))
    assert by_cfg.goes_by_cfg
    assert (by_cfg.batch, by_cfg.steps(10)) == (64, 5000)


@pytest.mark.parametrize("net", ["batch: 64, subdivisions: 16", "batch: 64", "subdivisions: 16", "momentum: 0.5"])
def test_a_run_of_a_file_and_another_batch_is_resumed_with_the_same_arguments(tmp_path: Path, net: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"recipe: darknet\nnet: {{{net}}}\n")
    flags = {"recipe": str(tmp_path / "mine.yaml"), "batch": "32"}
    begun = new_settings(asked(tmp_path, **flags))
    assert resumed_settings(begun.to_flat(), flags) == begun
    other = resumed_settings(begun.to_flat(), {**flags, "batch": "16"}).to_flat()
    assert differences(begun.to_flat(), other) == ["batch was 32, is 16"]
    (tmp_path / "mine.yaml").write_text(f"recipe: darknet\nnet: {{{net}, decay: 0.25}}\n")
    other = resumed_settings(begun.to_flat(), flags).to_flat()
    assert differences(begun.to_flat(), other) == ["net_decay was 0.0005, is 0.25"]


def test_a_batch_smaller_than_its_subdivisions_is_refused_with_a_way_that_works(tmp_path: Path) -> None:
    def given(**more: object) -> tuple[int, int]:
        flat = asked(tmp_path, **{"recipe": "darknet", **more})
        (tmp_path / "own.cfg").write_text(
            CFG.replace("batch=64", "batch=1").replace("subdivisions=8", "subdivisions=16")
        )
        recipe = new_settings(flat).darknet
        assert recipe is not None
        return recipe.step_pictures, recipe.subdivisions

    with pytest.raises(
        CfgError, match=r"line 3.*batch=1 cannot be shared out into subdivisions=16: give --batch 64.*net:"
    ):
        given()
    assert given(batch=64) == (64, 16)
    assert given(batch=8) == (8, 8)
    (tmp_path / "mine.yaml").write_text("recipe: darknet\nnet: {batch: 64}\n")
    assert given(recipe=str(tmp_path / "mine.yaml")) == (64, 16)


def test_a_part_of_a_recipe_changes_that_part(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("learning_rate: 1e-3\naugment: {zoom: 0.2}\n")
    assert new_settings(asked(tmp_path, recipe=str(file))).recipe == replace(
        Recipe(), learning_rate=0.001, augment=replace(Recipe().augment, zoom=0.2)
    )
    file.write_text("recipe: darknet\nnet: {momentum: 0.5, steps: '100,200'}\nyolo: {iou_loss: giou}\n")
    recipe = new_settings(asked(tmp_path, recipe=str(file))).darknet
    assert recipe is not None
    assert (recipe.momentum, recipe.steps, recipe.decay) == (0.5, (100, 200), 0.0005)
    assert [head.iou_loss for head in recipe.heads] == [IouLoss.GIOU]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("learning_rat: 1", r"learning_rat is no key of a recipe; there may stand augment, largest_gradient"),
        ("augment: {mosaik: 1}", r"augment.mosaik is no key of a recipe; augment may stand balance|brightness"),
        ("augment: 3", r"augment must hold keys and values"),
        ("augment: {mosaic: 2}", r"augment.mosaic: 2 is not a number between 0 and 1"),
        ("learning_rate: fast", r"learning_rate: 'fast' is not a number"),
        ("warm_up_steps: 1.5", r"warm_up_steps: 1.5 is not a whole number"),
        ("recipe: mine", r"recipe: 'mine' is not one of vedette, darknet"),
        ("recipe: darknet\nnet: {moment: 1}", r"net.moment is no key"),
        ("recipe: darknet\nyolo: [{iou_loss: l1}]", r"yolo\[1\].iou_loss: 'l1' is not one of mse"),
        ("recipe: darknet\nyolo: [{}, {}]", r"yolo has 2 entries, the cfg 1 \[yolo\]"),
        ("recipe: darknet\nnet: {batch: 0}", r"net.batch: 0 is not a whole number of at least 1|between 1"),
        ("- a", r"the file must hold keys and values"),
        (
            "augment:\n  mosaic: [1\n",
            r"mine.yaml, line 3, column 1: is no YAML: .*; mend it there \(RUN",
        ),
        ("momentum: 0.9\nmomentum: 0.8", r"mine.yaml, line 2, column 1: 'momentum' is given twice"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=what) as told:
        new_settings(asked(tmp_path, recipe=str(file)))
    assert "mine.yaml" in str(told.value)


def test_a_recipe_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--recipe nowhere is neither vedette, nor darknet, nor a file"):
        choose_recipe("nowhere")
    begun = new_settings(asked(tmp_path)).to_flat()
    with pytest.raises(ResumeError, match=r"begun with the recipe vedette, not darknet"):
        resumed_settings(begun, {"recipe": "darknet"})


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"add --weights"):
        new_settings(asked(tmp_path, freeze="backbone"))
    with pytest.raises(SettingsError, match=r"add --freeze"):
        new_settings(asked(tmp_path, unfreeze_after="3"))
    with pytest.raises(InputError, match=r"letter_box=1 and mosaic=1 exclude each other"):
        (tmp_path / "boxed.cfg").write_text(CFG.replace("mosaic=1", "mosaic=1\nletter_box=1"))
        new_settings({**asked(tmp_path), "model": str(tmp_path / "boxed.cfg"), "recipe": "darknet"})
    with pytest.raises(SettingsError, match=r"give --epochs or --time-budget"):
        (tmp_path / "endless.cfg").write_text(CFG.replace("max_batches = 5000", ""))
        new_settings({**asked(tmp_path), "model": str(tmp_path / "endless.cfg"), "recipe": "darknet"})


def test_a_run_says_what_it_follows(tmp_path: Path) -> None:
    lines = recipe_lines(new_settings(asked(tmp_path, recipe="darknet", epochs=3)))
    assert "follows [net] batch" in lines[0]
    assert lines[1] == "steps of 64 pictures, 8 at a time"
    assert lines[2].startswith("not followed: [net] adam=1")
    assert "5000 batches are fitted into 3 epochs" in lines[3]
    assert recipe_lines(new_settings(asked(tmp_path))) == []


def test_a_recipe_file_that_was_changed_in_the_run_is_told(tmp_path: Path) -> None:
    for choice in ({}, {"recipe": "darknet"}):
        settings = new_settings(asked(tmp_path, **choice))
        assert changed_recipe(tmp_path / "nowhere", settings) is None
        file = tmp_path / RECIPE_FILE
        file.write_text(recipe_text(settings))
        assert changed_recipe(tmp_path, settings) is None
        for text in (recipe_text(settings).replace("momentum: 0.9", "momentum: 0.8"), "{{{", "recipe: other"):
            file.write_text(text)
            line = changed_recipe(tmp_path, settings)
            assert line is not None
            assert "was changed; the run goes on as it was begun" in line


def test_a_run_that_goes_by_its_cfg_says_how_long_that_is(tmp_path: Path) -> None:
    by_cfg = new_settings(asked(tmp_path, recipe="darknet"))
    line = length_line(by_cfg, 205)
    assert line is not None
    assert line.startswith("as long as Darknet trains: max_batches=5000 steps, 1250 epochs of 205 pictures; --epochs")
    for more in ({"recipe": "darknet", "epochs": 3}, {"recipe": "darknet", "time_budget_s": 60.0}, {}):
        assert length_line(new_settings(asked(tmp_path, **more)), 205) is None


def test_a_family_trains_as_long_as_darknets_rule_for_its_classes_says(tmp_path: Path) -> None:
    familys = {**asked(tmp_path), "model": "yolov3-tiny", "recipe": "darknet"}

    def length(settings: TrainSettings, classes: int) -> tuple[int, tuple[int, ...]]:
        settled = with_length_for(settings_from_flat(settings.to_flat()), classes)
        assert settled.darknet is not None
        assert with_length_for(settled, 80) == settled
        return settled.darknet.max_batches, settled.darknet.steps

    assert length(new_settings(familys), 1) == (6000, (4800, 5400))
    assert length(new_settings(familys), 20) == (40_000, (32_000, 36_000))
    file = tmp_path / "mine.yaml"
    file.write_text("recipe: darknet\nnet: {max_batches: 500, steps: [400, 450]}\n")
    assert length(new_settings({**familys, "recipe": str(file)}), 20) == (500, (400, 450))
    assert length(new_settings(asked(tmp_path, recipe="darknet")), 20)[0] == 5000


def test_every_key_of_every_recipe_has_a_meaning_and_a_range() -> None:
    nested = {group: asdict(getattr(Recipe(), group)) for group in ("augment", "loss")}
    own = {f.name for f in fields(Recipe)} - set(nested)
    own |= {f"{group}.{key}" for group, values in nested.items() for key in values}
    assert own <= set(VEDETTE_KEYS)  # a new key needs a row in `recipe_keys`
    assert {f.name for f in fields(DarknetRecipe)} - {"heads"} == set(NET_KEYS)
    assert {f.name for f in fields(YoloLearning)} == set(YOLO_KEYS)
    assert {f.name for f in fields(RegionLearning)} == set(REGION_KEYS)
    documents = yaml.safe_load(recipe_text(new_settings({"data": "d"})))
    assert set(documents) == {f.name for f in fields(Recipe)} | {"recipe"}


def picture(width: int = 64, height: int = 48) -> LabelledPicture:
    """A red box on blue, and where it is."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = 200
    image[12:36, 16:40] = (220, 0, 0)
    return LabelledPicture(image, np.array([[16, 12, 40, 36]], np.float32), np.array([1], np.int64))


PLAIN = DarknetRecipe(jitter=0.0, flip=False)


def red_box(image: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero((image[..., 0] > 110) & (image[..., 2] < 100))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_nothing_asked_for_changes_nothing() -> None:
    changed = change([picture()], PLAIN, np.random.default_rng(0), (64, 48))
    assert (changed.image_hwc_rgb_u8 == picture().image_hwc_rgb_u8).all()
    assert (changed.boxes_xyxy_px == picture().boxes_xyxy_px).all()


def test_boxes_go_with_their_objects() -> None:
    recipe = replace(PLAIN, jitter=0.3, resize=1.5, flip=True)
    for seed in range(40):
        changed = change([picture()], recipe, np.random.default_rng(seed), (128, 96))
        assert changed.image_hwc_rgb_u8.shape == (96, 128, 3)
        if len(changed.boxes_xyxy_px):
            assert np.abs(red_box(changed.image_hwc_rgb_u8) - changed.boxes_xyxy_px[0]).max() <= 3.5
            assert changed.class_ids.tolist() == [1]


def test_boxes_of_a_mosaic_go_with_their_objects() -> None:
    recipe = replace(PLAIN, jitter=0.2, mosaic=True, mosaic_bound=True, flip=True)
    dark = LabelledPicture(np.zeros((48, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    seen = 0
    for seed in range(60):
        place = seed % 4
        four = [dark] * place + [picture()] + [dark] * (3 - place)
        changed = change(four, recipe, np.random.default_rng(seed), (64, 48))
        for box in changed.boxes_xyxy_px:
            assert np.abs(red_box(changed.image_hwc_rgb_u8) - box).max() <= 3.5
            seen += 1
    assert seen > 30


def test_colours_keep_within_their_reach() -> None:
    recipe = replace(PLAIN, exposure=1.5)
    values = [
        int(change([picture()], recipe, np.random.default_rng(s), (64, 48)).image_hwc_rgb_u8[0, 0, 2])
        for s in range(60)
    ]
    assert 132 <= min(values) < 160
    assert 240 < max(values) <= 255
    turned = change([picture()], replace(PLAIN, hue=0.2), np.random.default_rng(1), (64, 48)).image_hwc_rgb_u8
    assert (turned[20, 20] != picture().image_hwc_rgb_u8[20, 20]).any()
    noisy = replace(PLAIN, blur=9, gaussian_noise=20)
    pictures = [change([picture()], noisy, np.random.default_rng(s), (64, 48)).image_hwc_rgb_u8 for s in range(20)]
    assert len({p.tobytes() for p in pictures}) > 10


def test_input_sizes_change_every_ten_steps_within_their_factor() -> None:
    recipe = replace(PLAIN, random=1.0)
    sizes = [input_size(recipe, (416, 416), (3,), step, 1000) for step in range(400)]
    assert sizes[0] == (608, 608)  # Darknet's largest, to see that the memory suffices
    assert all(len(set(sizes[start : start + 10])) == 1 for start in range(0, 400, 10))
    assert len(set(sizes)) > 5
    assert 320 <= min(sizes)[0] < 416 < max(sizes)[0] <= 608
    assert input_size(recipe, (416, 416), (3,), 300, 50) == (608, 608)
    assert input_size(PLAIN, (416, 416), (3,), 300, 50) == (416, 416)
    assert sizes == [input_size(recipe, (416, 416), (3,), step, 1000) for step in range(400)]


def test_layers_are_held_as_long_as_asked() -> None:
    assert (parse_freeze("backbone"), parse_freeze("015")) == ("backbone", "15")
    assert (parse_unfreezing("5").epochs, parse_unfreezing("30%").share) == (5, 0.3)
    for text in ("0", "-1", "head", "1.5", ""):
        with pytest.raises(SettingsError, match="--freeze is 'backbone' or a number"):
            parse_freeze(text)
    for text in ("0", "0%", "100%", "half", "5 epochs"):
        with pytest.raises(SettingsError, match="--unfreeze-after is a number of epochs"):
            parse_unfreezing(text)
    assert layers_held(7, None, 99.0, 1.0) == 7
    assert (layers_held(7, "5", 4.9, 0.9), layers_held(7, "5", 5.0, 0.1)) == (7, 0)
    assert (layers_held(7, "30%", 50.0, 0.2), layers_held(7, "30%", 0.0, 0.3)) == (7, 0)
    plan = plan_network(
        parse_cfg(CFG.replace("[yolo]", "[convolutional]\nfilters=21\nsize=1\nactivation=linear\n\n[yolo]"))
    )
    assert count_frozen("backbone", plan, 9) == 1
    assert count_frozen("1", plan, 1) == 1
    assert count_frozen(None, plan, 9) == 0
    with pytest.raises(SettingsError, match=r"--freeze 2 leaves nothing to learn"):
        count_frozen("2", plan, 9)
    with pytest.raises(SettingsError, match=r"would hold layers at random"):
        count_frozen("1", plan, 0)


def test_class_weights_are_balanced_or_ones_own(tmp_path: Path) -> None:
    data = read_data_set(draw_data(tmp_path / "data", 12))
    ids = {name: index for index, name in enumerate(data.classes)}
    store = PictureStore(data.samples, ids, (64, 64), ResizeMode.STRETCH)
    counts = np.bincount(np.concatenate([store.get(i).labelled.class_ids for i in range(len(store))]))
    balanced = class_weights(parse_class_weights("balanced"), data.classes, store)
    assert balanced is not None
    assert math.isclose(sum(w * n for w, n in zip(balanced, counts, strict=True)), counts.sum())
    assert math.isclose(balanced[0] * counts[0], balanced[1] * counts[1])
    own = parse_class_weights("tile=2.5")
    assert class_weights(own, data.classes, store) == (1.0, 2.5)
    file = tmp_path / "weights.yaml"
    file.write_text("tile: 2.5\n")
    assert parse_class_weights(str(file)) == own
    assert parse_class_weights(own) == own
    with pytest.raises(SettingsError, match=r"names 'wall'; the data has the classes brick, tile"):
        class_weights(parse_class_weights("wall=2"), data.classes, store)
    for text in ("tile=0", "tile=many", "tile=1e9", "tile=nan"):
        with pytest.raises(SettingsError, match=r"tile=.* must be a number above 0"):
            parse_class_weights(text)
    with pytest.raises(SettingsError, match="is none of 'balanced', name=2"):
        parse_class_weights("nowhere.yaml")
    with pytest.raises(SettingsError, match="is no JSON object"):
        parse_class_weights("{tile: 2}")


REGION = CFG[: CFG.index("[yolo]")] + (
    "[region]\nanchors=1,1, 2,2, 3,3\nbias_match=1\nclasses=2\ncoords=4\nnum=3\nsoftmax=1\njitter=.2\nrescore=1\n"
    "object_scale=5\nabsolute=1\nthresh = .6\nrandom=1\nclassfix=1\n"
)


def test_a_region_is_followed_and_its_recipe_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "v2.cfg").write_text(REGION)
    flat = {"data": str(tmp_path), "model": str(tmp_path / "v2.cfg"), "recipe": "darknet"}
    settings = new_settings(flat)
    assert settings.darknet is not None
    assert settings.darknet.heads == (RegionLearning(0.6, 1, 5, 1, 1, rescore=True, bias_match=True),)
    assert (settings.darknet.jitter, settings.darknet.random) == (0.2, 1)
    cfg = parse_cfg(REGION)
    assert "[region] classfix=1" in not_honoured(cfg)
    assert {"[region] thresh", "[region] rescore", "[region] jitter"} <= set(honoured(cfg))
    assert settings_from_flat(settings.to_flat()) == settings
    file = tmp_path / RECIPE_FILE
    file.write_text(recipe_text(settings))
    assert new_settings({**flat, "recipe": str(file)}) == settings
    file.write_text("recipe: darknet\nregion: {thresh: 0.7, rescore: false}\n")
    changed = new_settings({**flat, "recipe": str(file)}).darknet
    assert changed is not None
    assert changed.heads == (RegionLearning(0.7, 1, 5, 1, 1, bias_match=True),)
    with pytest.raises(SettingsError, match=r"region: the cfg has \[yolo\], not \[region\]"):
        new_settings(asked(tmp_path, recipe=str(file)))
    file.write_text("recipe: darknet\nyolo: {iou_loss: ciou}\n")
    with pytest.raises(SettingsError, match=r"yolo: the cfg has \[region\], not \[yolo\]"):
        new_settings({**flat, "recipe": str(file)})


def test_a_cfg_of_the_tests_is_followed_too(tmp_path: Path) -> None:
    settings = new_settings(
        {"data": "d", "model": str(write_cfg(tmp_path)), "recipe": "darknet", "epochs": 2, "batch": 4}
    )
    assert settings.darknet is not None
    assert len(settings.darknet.heads) >= 1


def test_the_page_of_recipes_has_every_key_with_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "recipes.md").read_text()
    own = asdict(Recipe())
    defaults = {f"{group}.{key}": value for group in ("augment", "loss") for key, value in own.pop(group).items()} | own
    tables = [(defaults, VEDETTE_KEYS), (asdict(DarknetRecipe()), NET_KEYS), (asdict(YoloLearning()), YOLO_KEYS)]
    tables += [(asdict(RegionLearning()), REGION_KEYS)]
    for values, keys in tables:
        for name, key in keys.items():
            shown = values[name]
            if isinstance(shown, float) and not isinstance(shown, bool):
                shown = "off" if shown > 1e38 else f"{shown:g}"
            elif isinstance(shown, bool | tuple):
                shown = str(shown).lower() if shown != () else "none"
            row = f"| `{name}` | {getattr(shown, 'value', shown)} | {key.meaning} | {key.allowed} |"
            assert row in page, f"docs/reference/recipes.md should have the row {row}"
