"""Settings: which value wins, where it came from, and what an error tells."""

from __future__ import annotations

import pickle
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_kinds import Setting, SettingKind
from headrace_schemas.setting_table import SETTINGS
from headrace_schemas.settings import home_in, load

PROJECT = '[project]\nname = "shop"\ndefinitions = ["shop.views"]\n'


def project(folder: Path, more: str = "") -> Path:
    (folder / "headrace.toml").write_text(PROJECT + more)
    return folder


def refusal(folder: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, environ or {})
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_without_a_file_the_built_in_project_is_used(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings.root is None
    assert settings.project.name == "fraud"
    assert settings.project.definitions == ("headrace_features.fraud.definitions",)
    assert settings.home == tmp_path / ".headrace"
    assert settings.warehouse.path == str(tmp_path / ".headrace" / "warehouse")
    assert settings.engine.default == "local"
    assert settings.spark.master == "local[*]"
    assert settings.online.type == "sqlite"
    assert settings.online.path == tmp_path / ".headrace" / "online.db"
    assert settings.online.redis_url == "embedded"
    assert settings.online.timeout == timedelta(milliseconds=500)
    assert settings.online.pool == 16
    assert settings.serving.host == "127.0.0.1"
    assert settings.serving.auth == "none"
    assert settings.serving.keys_file == tmp_path / ".headrace" / "api-keys"
    assert settings.feast.registry == tmp_path / ".headrace" / "registry.db"
    assert {settings.source_of(setting.name) for setting in SETTINGS} == {"default"}


def test_the_file_is_found_from_a_folder_below_it_and_its_paths_start_there(
    tmp_path: Path,
) -> None:
    project(tmp_path, '[online]\npath = "stores/online.db"\n[warehouse]\npath = "lake"\n')
    (tmp_path / "a" / "b").mkdir(parents=True)
    settings = load(tmp_path / "a" / "b", {})
    assert settings.root == tmp_path
    assert settings.project.definitions == ("shop.views",)
    assert settings.home == tmp_path / ".headrace"
    assert settings.online.path == tmp_path / "stores" / "online.db"
    assert settings.warehouse.path == str(tmp_path / "lake")


def test_the_nearest_file_wins(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    project(tmp_path)
    project(tmp_path / "inner")
    assert load(tmp_path / "inner", {}).root == tmp_path / "inner"


def test_the_environment_wins_over_the_file_and_each_value_knows_its_source(
    tmp_path: Path,
) -> None:
    project(tmp_path, '[engine]\ndefault = "local"\n[spark]\nmaster = "local[2]"\n')
    settings = load(tmp_path, {"HEADRACE_ENGINE_DEFAULT": "spark"})
    assert settings.engine.default == "spark"
    assert settings.source_of("engine.default") == "environment HEADRACE_ENGINE_DEFAULT"
    assert settings.source_of("spark.master") == f"{tmp_path}/headrace.toml [spark] master"
    assert settings.source_of("project.name") == f"{tmp_path}/headrace.toml [project] name"
    assert settings.source_of("online.type") == "default"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_an_attribute_and_can_be_set_by_its_variable(
    tmp_path: Path, setting: Setting
) -> None:
    option = setting.choices[-1] if setting.choices else "a"
    text = {
        SettingKind.TEXT: setting.choices[-1] if setting.choices else "other",
        SettingKind.NAMES: "a.b, c",
        SettingKind.PATH: "folder/x",
        SettingKind.LOCATION: "s3://bucket/x",
        SettingKind.REDIS_URL: "rediss://cache.example:6380/1",
        SettingKind.HTTP_URL: "https://lineage.example:5000",
        SettingKind.OPTIONS: f'{{"{option}": "1"}}',
        SettingKind.NUMBER: "3",
        SettingKind.DURATION: "3s",
    }[setting.kind]
    expected = {
        SettingKind.NAMES: ("a.b", "c"),
        SettingKind.PATH: tmp_path / "folder/x",
        SettingKind.OPTIONS: {option: "1"},
        SettingKind.NUMBER: 3,
        SettingKind.DURATION: timedelta(seconds=3),
    }.get(setting.kind, text)
    settings = load(tmp_path, {setting.variable: text})
    assert attrgetter(setting.name)(settings) == expected
    assert settings.source_of(setting.name) == f"environment {setting.variable}"


def test_a_password_in_the_url_of_a_server_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="belong into") as told:
        load(tmp_path, {"HEADRACE_LINEAGE_URL": "http://me:hush@lineage.example"})
    assert "hush" not in str(told.value)
    assert load(tmp_path, {}).lineage.url is None


def test_an_empty_variable_counts_as_absent(tmp_path: Path) -> None:
    assert load(tmp_path, {"HEADRACE_HOME": ""}).home == tmp_path / ".headrace"


def test_home_moves_all_that_has_no_place_of_its_own(tmp_path: Path) -> None:
    project(tmp_path, '[online]\npath = "online.db"\n')
    settings = load(tmp_path, {"HEADRACE_HOME": "/data"})
    assert settings.home == Path("/data")
    assert settings.warehouse.path == "/data/warehouse"
    assert settings.feast.registry == Path("/data/registry.db")
    assert settings.online.path == tmp_path / "online.db"


def test_home_may_be_a_key_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_text('home = "data"\n' + PROJECT)
    settings = load(tmp_path, {})
    assert settings.home == tmp_path / "data"
    assert settings.source_of("home") == f"{tmp_path}/headrace.toml home"


def test_home_is_found_whatever_else_is_written(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_text('home = "data"\n[stream]\nmodee = "ordered"\n')
    assert home_in(tmp_path, {"HEADRACE_STREAM_MODE": "no such mode"}) == tmp_path / "data"
    assert home_in(tmp_path, {"HEADRACE_HOME": "/elsewhere"}) == Path("/elsewhere")
    with pytest.raises(ConfigurationError, match="modee"):
        load(tmp_path, {})


def test_a_tilde_is_the_home_folder_of_the_given_environment(tmp_path: Path) -> None:
    environ = {"HEADRACE_HOME": "~/data", "HOME": "/users/me"}
    assert load(tmp_path, environ).home == Path("/users/me/data")
    assert "there is no HOME" in refusal(tmp_path, {"HEADRACE_HOME": "~/data"})


def test_a_warehouse_may_be_a_url_but_a_file_may_not(tmp_path: Path) -> None:
    project(tmp_path, '[warehouse]\npath = "s3://bucket/lake"\n')
    assert load(tmp_path, {}).warehouse.path == "s3://bucket/lake"
    text = refusal(tmp_path, {"HEADRACE_ONLINE_PATH": "redis://host"})
    assert "environment HEADRACE_ONLINE_PATH is 'redis://host', expected a path" in text


def test_options_from_both_places_are_merged_name_by_name(tmp_path: Path) -> None:
    project(tmp_path, '[warehouse.storage_options]\nregion = "eu"\nkey = "from file"\n')
    environ = {"HEADRACE_WAREHOUSE_STORAGE_OPTIONS": '{"key": "from environment"}'}
    settings = load(tmp_path, environ)
    assert settings.warehouse.storage_options == {"region": "eu", "key": "from environment"}
    source = settings.source_of("warehouse.storage_options")
    assert source.startswith("environment HEADRACE_WAREHOUSE_STORAGE_OPTIONS and ")
    assert source.endswith("headrace.toml [warehouse.storage_options]")


def test_properties_of_spark_may_be_written_without_quotes(tmp_path: Path) -> None:
    project(
        tmp_path,
        '[spark.conf]\nspark.ui.enabled = false\n"spark.a.b" = 8\nspark.memory.fraction = 0.5\n',
    )
    assert load(tmp_path, {}).spark.conf == {
        "spark.ui.enabled": "false",
        "spark.a.b": "8",
        "spark.memory.fraction": "0.5",
    }


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    project(tmp_path, '[warehouse.storage_options]\nkey = "hush"\n[spark.conf]\n"k" = "hush"\n')
    settings = load(tmp_path, {"HEADRACE_SPARK_CONF": '{"token": "hush"}'})
    assert settings.warehouse.storage_options["key"] == "hush"
    for shown in (repr(settings), str(settings), f"{settings.spark.conf}"):
        assert "hush" not in shown
        assert "***" in shown
    for wrong in ("hush", '["hush"]', '{"key": ["hush"]}'):
        assert "hush" not in refusal(tmp_path, {"HEADRACE_WAREHOUSE_STORAGE_OPTIONS": wrong})


def test_settings_reach_another_process_whole(tmp_path: Path) -> None:
    project(tmp_path, '[warehouse.storage_options]\nkey = "hush"\n')
    settings = load(tmp_path, {})
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  (our own bytes)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('[engin]\nx = "y"', "unknown section or key of {file}: 'engin', did you mean 'engine'?"),
        ('[engine]\ndefualt = "y"', "unknown key in [engine] of {file}: 'defualt', did you mean"),
        ("[engine]\ndefault = 3", "{file} [engine] default is an integer, expected text"),
        ('[engine]\ndefault = "flink"', "{file} [engine] default is 'flink', expected one of:"),
        ("[engine.default]\na = 1", "{file} [engine] default is a section, expected text"),
        ("[spark]\nconf = 3", "{file} [spark.conf] is an integer, expected a section [spark.conf]"),
        ("[spark.conf]\na = [1]", "{file} [spark.conf] a is a list, expected text"),
        ('[online]\npath = ""', "{file} [online] path is empty, expected a path"),
        ('[spark]\nmaster = ""', "{file} [spark] master is empty, expected the master URL"),
        (
            "[engine\n",
            "{file} is not TOML: Expected ']' at the end of a table",
        ),
        ("[online]\npath = 2024-01-01", "{file} [online] path is a date, expected text"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_is_expected(
    tmp_path: Path, more: str, expected: str
) -> None:
    project(tmp_path, more)
    assert expected.format(file=tmp_path / "headrace.toml") in refusal(tmp_path)


def test_an_error_of_syntax_names_the_line(tmp_path: Path) -> None:
    project(tmp_path, "[engine\n")
    assert "(at line 4, column 8)" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('home = "x"\n', "setting project.name is missing"),
        ('[project]\nname = "shop"\n', "setting project.definitions is missing"),
        ('[project]\nname = "My Shop"\ndefinitions = ["a"]\n', "is 'My Shop', expected the name"),
        ('[project]\nname = "shop"\ndefinitions = "a"\n', "is text, expected a list of names"),
        ('[project]\nname = "shop"\ndefinitions = [1]\n', "is a list, expected a list of names"),
        ('[project]\nname = "shop"\ndefinitions = []\n', "is empty, expected at least one name"),
        ('[project]\nname = "shop"\ndefinitions = ["a-b.py"]\n', "is 'a-b.py', expected the Py"),
        ('project = "shop"\n', "project is a value, expected a section (write [project])"),
    ],
)
def test_a_project_has_to_say_its_name_and_its_modules(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "headrace.toml").write_text(text)
    assert expected in refusal(tmp_path)


def test_a_missing_or_wrong_value_is_told_with_all_places_that_were_looked_up(
    tmp_path: Path,
) -> None:
    text = refusal(tmp_path, {"HEADRACE_ENGINE_DEFAULT": "sparc"})
    assert text == (
        "environment HEADRACE_ENGINE_DEFAULT is 'sparc', expected one of: local, spark"
        f" (looked up: environment HEADRACE_ENGINE_DEFAULT, then headrace.toml in {tmp_path}"
        " and above (there is none), then default 'local')"
    )
    (tmp_path / "headrace.toml").write_text("")
    assert refusal(tmp_path).endswith(
        "(looked up: environment HEADRACE_PROJECT_NAME,"
        f" then {tmp_path}/headrace.toml [project] name)"
    )


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_bytes(b"\xff")
    assert "headrace.toml can't be read" in refusal(tmp_path)
    (tmp_path / "headrace.toml").unlink()
    (tmp_path / "headrace.toml").mkdir()
    assert "headrace.toml can't be read" in refusal(tmp_path)


def test_the_source_of_an_unknown_setting_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown setting 'engine', did you mean"):
        load(tmp_path, {}).source_of("engine")


def test_the_stream_s_settings_are_read_with_their_units(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings.stream.mode == "immediate"
    assert settings.stream.lateness == timedelta(hours=1)
    assert settings.stream.checkpoint_interval == timedelta(seconds=1)
    assert settings.stream.checkpoint_directory == str(
        tmp_path / ".headrace" / "flink" / "checkpoints"
    )
    assert settings.stream.parallelism == 2
    project(
        tmp_path,
        '[stream]\nparallelism = 8\nlateness = "2d"\ncheckpoint_directory = "s3://bucket/state"\n'
        '[flink.conf]\n"taskmanager.memory.process.size" = "8g"\n',
    )
    settings = load(tmp_path, {"HEADRACE_STREAM_CHECKPOINT_INTERVAL": "250ms"})
    assert settings.stream.parallelism == 8
    assert settings.stream.lateness == timedelta(days=2)
    assert settings.stream.checkpoint_interval == timedelta(milliseconds=250)
    assert settings.stream.checkpoint_directory == "s3://bucket/state"
    assert dict(settings.flink.conf) == {"taskmanager.memory.process.size": "8g"}
    assert "8g" not in str(settings)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("parallelism = 0", "expected a whole number from 1 to 999999"),
        ("parallelism = true", "is true or false, expected a whole number"),
        ("parallelism = 1.5", "is a number, expected a whole number"),
        ('lateness = "1 hour"', "is '1 hour', expected a duration such as 500ms"),
        ('lateness = "0s"', "expected a duration"),
        ("lateness = 5", "is an integer, expected text"),
        ('state_backend = "disk"', "expected one of: hashmap, rocksdb"),
        ('mode = "late"', "expected one of: immediate, ordered"),
    ],
)
def test_a_stream_setting_that_makes_no_sense_is_refused(
    tmp_path: Path, written: str, told: str
) -> None:
    project(tmp_path, f"[stream]\n{written}\n")
    assert told in refusal(tmp_path)


def test_access_to_redis_is_read_and_its_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    project(
        tmp_path,
        '[online]\ntype = "redis"\nredis_url = "rediss://cache.example:6380/2"\ntimeout = "50ms"\n'
        'pool = 4\n[online.redis_options]\nusername = "me"\nssl_check_hostname = false\n',
    )
    environ = {"HEADRACE_ONLINE_REDIS_OPTIONS": '{"password": "hush"}'}
    settings = load(tmp_path, environ)
    assert settings.online.type == "redis"
    assert settings.online.redis_url == "rediss://cache.example:6380/2"
    assert settings.online.timeout == timedelta(milliseconds=50)
    assert settings.online.pool == 4
    assert settings.online.redis_options == {
        "username": "me",
        "password": "hush",
        "ssl_check_hostname": "false",
    }
    assert "hush" not in f"{settings} {settings.online!r}"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("cache.example:6379", "is 'cache.example:6379', expected redis://host:port/database,"),
        ("unix:///tmp/redis.sock", "expected redis://host:port/database"),
        ("redis://", "expected redis://host:port/database"),
        ("redis://cache.example:0", "'cache.example:0' is no host:port, expected"),
        ("redis://cache.example:port", "'cache.example:port' is no host:port, expected"),
        ("redis://a:1,b:2", "several nodes are a cluster, expected"),
        ("redis+cluster://a:1,b:2/3", "a cluster has no numbered databases"),
        ("redis://:hush@cache.example", "belong into [online.redis_options], as username and"),
        ("redis://cache.example?password=hush", "belong into [online.redis_options], as username"),
    ],
)
def test_a_url_of_redis_that_is_none_or_has_secrets_is_refused(
    tmp_path: Path, url: str, told: str
) -> None:
    project(tmp_path, f'[online]\nredis_url = "{url}"\n')
    text = refusal(tmp_path)
    assert f"{tmp_path}/headrace.toml [online] redis_url " in text
    assert told in text
    assert "hush" not in text


def test_an_option_that_redis_does_not_have_is_refused_without_its_value(tmp_path: Path) -> None:
    project(tmp_path, '[online.redis_options]\npasword = "hush"\n')
    text = refusal(tmp_path)
    assert "[online.redis_options] has an unknown option 'pasword', did you mean 'pass" in text
    assert "known: client_name, password, ssl_ca_certs," in text
    assert "hush" not in text


def test_one_option_of_a_section_is_no_variable_of_its_own(tmp_path: Path) -> None:
    for name, whole in (
        ("HEADRACE_SERVING_TLS_CERTFILE", "HEADRACE_SERVING_TLS="),
        ("HEADRACE_ONLINE_REDIS_OPTIONS_PASSWORD", "HEADRACE_ONLINE_REDIS_OPTIONS="),
    ):
        told = refusal(tmp_path, {name: "hush"})
        assert f"environment {name} is no setting" in told
        assert whole in told
        assert "hush" not in told
    # A setting of its own, and names that people choose.
    load(tmp_path, {"HEADRACE_SERVING_KEYS_FILE": "keys", "HEADRACE_KAFKA_OPTIONS_X": "1"})
