#!/usr/bin/env bash
# Makes the environment of an image: the locked packages of a role, and the wheel in a folder.
# Run where requirements/ is: install.sh ROLE ENVIRONMENT FOLDER_OF_WHEEL
set -euo pipefail

role=$1 environment=$2 wheels=$3
python=$environment/bin/python

uv venv -q --no-project --python "$(command -v python3)" "$environment"
uv pip sync -q --python "$python" --require-hashes --build-constraints requirements/build.txt \
    "requirements/$role.txt"
uv pip install -q --python "$python" --no-deps --no-index "$wheels"/headrace-*.whl
