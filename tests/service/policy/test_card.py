"""Cards: what is refused, in which words, and what the shipped ones say."""

from __future__ import annotations

import re
import tomllib

import msgspec
import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card import gains_for
from teleopd.service.policy.card_reader import card_from, load_card, parse_card
from teleopd.service.policy.errors import BadCard, UnknownKey, WrongJoints
from teleopd.service.policy.library import shipped_cards

Q_BLOCK = '[[observation]]\nkind = "q"\ngroup = "now"'
WRONG = [
    ("rate_hz = 50.0", "rate_hz = 50.0\nrate = 50",
     "unknown key 'rate' in the card; did you mean 'rate_hz'? Valid: action, armature, attribution, capabilities, "),
    ("opset = 13", "opset = 13\nsha_256 = 1",
     "unknown key 'sha_256' in model; did you mean 'sha256'? Valid: data, extras, file, "),
    (Q_BLOCK, Q_BLOCK + "\nscal = 2.0", "unknown key 'scal' in observation[1] (kind 'q'); did you mean 'scale'?"),
    (Q_BLOCK, Q_BLOCK + "\naxes = 'x'", "unknown key 'axes' in observation[1] (kind 'q')"),
    ("kd = 0.5", "kd = 0.5\nkp_max = 1",
     "unknown key 'kp_max' in gains.sim. Valid: kd, kp, over_metadata, reason, source"),
    ('kind = "q"', 'kind = "qq"', "unknown kind 'qq' in observation[1]; did you mean 'q'? Valid: anchor_orientation, "),
    ("schema = 1", "schema = 2", "has schema 2, this program reads schema 1"),
    ("schema = 1", "schema =", "is not TOML: Invalid value"),
    ("rate_hz = 50.0", 'rate_hz = "50"', "expected `float`, got `str` in rate_hz"),
    ("opset = 13", "", "object missing required field `opset` in model"),
    ('robot = "tripod"', "", "object missing required field `robot` in the card"),
    ('imu = "pelvis"', 'imu = "head"', "invalid enum value 'head' in imu"),
    ("rate_hz = 50.0", "rate_hz = 0", "rate_hz is 0, must be above 0"),
    ("rate_hz = 50.0", "rate_hz = nan", "rate_hz is nan, must be finite"),
    ("scale = 0.5", "scale = inf", "action.scale is inf, must be finite"),
    ('"c" = 0.3', '"c" = nan', "default_pose.c is nan, must be finite"),
    ("kd = 0.5", "kd = 0.0", "gains.sim.kd of a is 0, must be above 0"),
    ("kd = 0.5", "kd = -0.0", "gains.sim.kd of a is -0, must be above 0"),
    ('"b" = 2.0', '"b" = -2.0', "gains.sim.kp of b is -2, must be above 0"),
    ("kp = 40.0", "kp = inf", "gains.real.kp is inf, must be finite"),
    ("clip = 10.0", "clip = 0.0", "action.clip is 0, must be above 0"),
    ("input_width = 9", "input_width = 10", "the observation blocks add up to 9, model.input_width is 10"),
    ("output_width = 3", "output_width = 4", "joints.action names 3 joints, model.output_width is 4"),
    ('state = ["a", "b", "c"]', 'state = ["a", "b", "a"]', "joints.state names a twice"),
    ('"b" = 0.2, ', "", "default_pose has nothing for b"),
    ('"b" = 0.2', '"b" = 0.2, "[ab]" = 1.0', "default_pose has 2 patterns for a: a, [ab]"),
    ('"b" = 0.2', '"b" = 0.2, "bb" = 1.0', "'bb' in default_pose matches no joint; did you mean 'b'?"),
    (Q_BLOCK, Q_BLOCK + '\nzero = ["d"]', "observation[1].zero names joint 'd'. Valid: a, b, c"),
    (Q_BLOCK, Q_BLOCK + '\njoints = ["a", "d"]', "observation[1].joints names joint 'd'. Valid: a, b, c"),
    ("[action]", '[[observation]]\nkind = "future"\nof = ["now"]\nsteps = [0, 4]\n[action]',
     "lookahead_steps is 0, the observation reaches 4 steps ahead"),
    ("[action]", '[[observation]]\nkind = "future"\nof = ["now"]\nsteps = [-1]\n[action]',
     "observation[3].steps is [-1], must name steps of 0 or more"),
    ("[action]", '[[observation]]\nkind = "future"\nof = ["then"]\nsteps = [0]\n[action]',
     "observation[3].of names group 'then'. Valid: now"),
    ("[action]", '[[observation]]\nkind = "future"\nof = []\nsteps = [0]\n[action]',
     "observation[3].of names no group; valid: now"),
    ("[action]", '[[observation]]\nkind = "history"\nof = ["now"]\nlength = 0\norder = "oldest_first"\n'
     'fill = "zeros"\n[action]', "observation[3].length is 0, must be 1 to 1000"),
    ("[gains.sim]", '[[golden]]\nname = "g"\noutput = [1.0]\n[gains.sim]',
     "golden 'g' has 1 outputs, model.output_width is 3"),
    ("[gains.sim]", '[[golden]]\nname = "g"\noutput = [1.0, 1.0, 1.0]\nsegments = [{at = 8, values = [1.0, 2.0]}]\n'
     "[gains.sim]", "golden 'g' writes up to 10, model.input_width is 9"),
]  # fmt: skip
SMOOTH = "[action.smoothing]\nalpha = ALPHA\nstage = 'after_clip'\n[gains.sim]"
LAGS = '[[observation]]\nkind = "lags"\nof = ["now"]\nlags = LAGS\nfill = "zeros"\n[action]'
WRONG += [
    ("[gains.sim]", SMOOTH.replace("ALPHA", "0.0"), "action.smoothing.alpha is 0, must be above 0 and at most 1"),
    ("[gains.sim]", SMOOTH.replace("ALPHA", "1.5"), "action.smoothing.alpha is 1.5, must be above 0 and at most 1"),
    ("[action]", LAGS.replace("LAGS", "[]"), "observation[3].lags is [], must name ticks back of 0 to 1000"),
    ("[action]", LAGS.replace("LAGS", "[0, -1]"), "observation[3].lags is [0, -1], must name ticks back of 0 to 1000"),
    ("[action]", LAGS.replace("LAGS", "[1001]"), "observation[3].lags is [1001], must name ticks back of 0 to 1000"),
    (Q_BLOCK, Q_BLOCK + "\nscale = [1.0, 2.0]", "observation[1].scale has 2 values, the block 3"),
    (Q_BLOCK, Q_BLOCK + "\nclip = [1.0, -1.0]", "observation[1].clip is 1 to -1, must rise"),
    (Q_BLOCK, Q_BLOCK.replace("now", "past") + "\nhidden = true",
     "observation[1] is hidden, no block repeats its group 'past'"),
    (Q_BLOCK, '[[observation]]\nkind = "base_lin_vel"\ngroup = "now"',
     "odometry is false, observation[1] (base_lin_vel) needs the root's position or velocity"),
    (Q_BLOCK, '[[observation]]\nkind = "constant"\ngroup = "now"\nwidth = 0',
     "observation[1].width is 0, must be 1 to 100000"),
    (Q_BLOCK, '[[observation]]\nkind = "phase"\nfunction = "sin"\nperiod_s = 0.0\ngroup = "now"',
     "observation[1] has period_s 0 and 1 offsets_rad: both must be above 0"),
    (Q_BLOCK, '[[observation]]\nkind = "force_limit"\nform = "newton"\ngroup = "now"',
     "a force limit is an input, compliance is missing"),
    (Q_BLOCK, '[[observation]]\nkind = "key_points"\nquantity = "velocity"\ngroup = "now"',
     "key_points are observed, points is empty"),
    ("[gains.sim]", "[compliance]\nlower_n = 5\nupper_n = 15\ndefault_n = 10\n[gains.sim]",
     "compliance is given, nothing takes it"),
    ("[joints]", "extras = [{ input = 'h', source = 'recurrent', shape = [1, 4] }]\n[joints]",
     "model.extras[0].output is '': a recurrent input needs the output it is fed from, others none"),
    ("[joints]", "extras = [{ input = 't', source = 'clip_time', shape = [1, 1] }]\n[joints]",
     "an input for clip_time is given, clip is missing"),
    ("[joints]", "extras = [{ input = 'obs', source = 'constant', shape = [1] }]\n[joints]",
     "model.extras[0].input 'obs' is named twice"),
    ("[joints]", "extras = [{ input = 'x', source = 'constant', shape = [0] }]\n[joints]",
     "model.extras[0].shape is [0], must be sizes of 1 or more with a product up to 100000"),
    ("[joints]", "data = [{ file = 'w', sha256 = 'no' }]\n[joints]",
     "model.data[0].sha256 is 'no', must be 64 lower-case hex digits"),
    ("[joints]", "extras = [{ input = 'more', source = 'observation', shape = [1, 2] }]\n[joints]",
     "the observation blocks add up to 9, the networks' inputs take 11"),
    ('action = ["b", "c", "a"]', 'action = ["b", "c", "a"]\n[joints.rest]\njoints = ["a"]\nfollow = "reference"',
     "joints.rest names a, which the network drives"),
    ("lookahead_steps = 0", 'lookahead_steps = 0\nlookahead = "hold"', "lookahead is 'hold', lookahead_steps is 0"),
    ("default_pose =", "armature = {a = 0.01, b = 0.0, c = 0.01}\ndefault_pose =",
     "armature of b is 0, must be above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "problem"), WRONG, ids=[row[2][:50] for row in WRONG])
def test_a_wrong_card_is_one_sentence(tiny, old, new, problem):
    text, _ = tiny((old, new))
    with pytest.raises(BadCard, match=f"^{re.escape('policy card my.toml: ' + problem)}"):
        parse_card(text, "my.toml")


@pytest.mark.parametrize(("block", "kind"), [(1, "int"), ("q", "str"), ([1], "array"), (True, "bool")])
def test_an_observation_block_that_is_no_table_is_one_sentence(tiny, block, kind):
    data = tomllib.loads(tiny()[0]) | {"observation": [block]}
    with pytest.raises(BadCard, match=rf"^policy card t: expected `object`, got `{kind}` in observation\[0\]$"):
        card_from(data, "t")


def test_a_wrong_hash_is_shown(tiny):
    text, _ = tiny()
    with pytest.raises(BadCard, match="model.sha256 is 'ABC', must be 64 lower-case hex digits"):
        parse_card(re.sub(r'sha256 = ".*"', 'sha256 = "ABC"', text), "my.toml")


def test_unknown_keys_have_their_own_error(tiny):
    text, _ = tiny(("opset = 13", "opset = 13\nopsett = 13"))
    with pytest.raises(UnknownKey) as caught:
        parse_card(text, "my.toml")
    assert caught.value.key == "opsett"


def test_a_card_that_cannot_be_read(tmp_path):
    with pytest.raises(BadCard, match=r"none.toml: cannot be read: "):
        load_card(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(BadCard, match=r"latin.toml: cannot be read: "):
        load_card(tmp_path / "latin.toml")


def test_a_card_cannot_be_changed(tiny):
    card = parse_card(tiny()[0], "my.toml")
    with pytest.raises(AttributeError):
        card.rate_hz = 100.0
    assert card.reference_fields == ("q",)
    assert msgspec.structs.replace(card, name="x").name == "x"


def test_patterns_spread_over_joints(tiny):
    card = parse_card(tiny()[0], "my.toml")
    np.testing.assert_array_equal(card.per_joint({"[ac]": 1.0, "b": 2.0}, ("c", "b", "a")), [1.0, 2.0, 1.0])
    np.testing.assert_array_equal(card.default_of(("c", "a")), [0.3, 0.1])


def test_shipped_cards_are_readable_and_named_as_their_files(g1):
    cards = shipped_cards(g1)
    assert "twist2" in cards
    for name, path in cards.items():
        card = load_card(path)
        assert card.name == name
        assert card.robot == "unitree_g1"
        assert sorted(card.driven_joints) == sorted(g1.joint_names)


def test_twist2_layout_defaults_and_gains(g1):
    """The table of the upstream deployment, written out here once more by joint index."""
    card = load_card(shipped_cards(g1)["twist2"])
    assert [(slot.start, slot.stop) for slot in card.layout()] == [
        (0, 2), (2, 3), (3, 5), (5, 6), (6, 35), (35, 38), (38, 40), (40, 69), (69, 98), (98, 127), (127, 1397),
        (1397, 1432),
    ]  # fmt: skip
    assert card.state_joints == card.reference_joints == card.action_joints == g1.joint_names
    leg, arm = [-0.2, 0, 0, 0.4, -0.2, 0], [0, 1.2, 0, 0, 0]
    default = leg + leg + [0, 0, 0] + [0, 0.4, *arm] + [0, -0.4, *arm]
    np.testing.assert_array_equal(card.default_of(g1.joint_names), default)
    leg_kp, leg_kd = [100, 100, 100, 150, 40, 40], [2, 2, 2, 4, 2, 2]
    for link, wrist_kp, wrist_kd in (("sim", 4.0, 0.2), ("dds", 20.0, 1.0)):
        _, gains = card.gains.of_link(link)
        kp = leg_kp * 2 + [150] * 3 + ([40] * 4 + [wrist_kp] * 3) * 2
        kd = leg_kd * 2 + [4] * 3 + ([5] * 4 + [wrist_kd] * 3) * 2
        np.testing.assert_array_equal(card.per_joint(gains.kp, g1.joint_names), kp)
        np.testing.assert_array_equal(card.per_joint(gains.kd, g1.joint_names), kd)
        assert "wrist" in gains.reason


def test_the_real_g1_is_the_one_the_card_means():
    card = load_card(shipped_cards(MODEL)["twist2"])
    assert card.robot == MODEL.name
    assert card.state_joints == MODEL.joint_names
    kp, kd = gains_for(card, MODEL, "sim")
    assert (kp[MODEL.joint_names.index("left_knee_joint")], kd[-1]) == (150.0, 0.2)
    assert gains_for(card, MODEL, "lcm")[0][-1] == 20.0


def test_gains_for_a_robot_with_other_joints(tiny, g1):
    with pytest.raises(WrongJoints, match="^card 'tiny': drives 0 joints of 29; nothing drives left_hip_pitch_joint, "):
        gains_for(parse_card(tiny()[0], "t"), g1, "sim")
