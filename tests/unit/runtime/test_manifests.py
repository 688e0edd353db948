"""What the golden paths say of running them, held against what their skeletons do."""

import json
import subprocess

import yaml

from contracts.golden_path import GoldenPath
from tests.unit.golden_paths.samples import NODE, PUBLISHED, ROOT, needs_node


def manifest(name: str) -> GoldenPath:
    return GoldenPath.model_validate(yaml.safe_load((ROOT / name / "golden_path.yaml").read_text()))


@needs_node
def test_a_site_has_the_same_headers_whoever_serves_it() -> None:
    module = (ROOT / "frontend" / "skeleton" / "server" / "headers.js").as_uri()
    script = f"import {{ HEADERS }} from {json.dumps(module)}; console.log(JSON.stringify(HEADERS));"
    said = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", script], capture_output=True, text=True, check=True
    )
    static = manifest("frontend").runtime.static
    assert static is not None
    assert {name.lower(): value for name, value in static.headers.items()} == json.loads(said.stdout)
    assert (ROOT / "frontend" / "skeleton" / "src" / str(static.not_found)).is_file()


def test_what_listens_has_a_health_path_and_what_does_not_a_heartbeat() -> None:
    for name in PUBLISHED:
        runtime = manifest(name).runtime
        if runtime.port_variable is not None:
            assert runtime.health_path
            assert runtime.ready_path
        else:
            assert runtime.heartbeat_variable
            sources = (ROOT / name / "skeleton" / "src").rglob("*.js")
            assert any(f"env.{runtime.heartbeat_variable}" in source.read_text() for source in sources)
