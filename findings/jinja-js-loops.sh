#!/usr/bin/env bash
# @huggingface/jinja 0.5.11 (npm, which transformers.js renders chat templates with) compared with Jinja2 3.1.6 (which transformers uses).
# Expected: the same text.
# Seen: continue drops what its iteration has printed, a variable set in a loop's body is still set in the next iteration, strip
# ignores its argument, and the empty string equals false.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check jinja2==3.1.6
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11
cat >templates.json <<'JSON'
["{% for i in [1, 2, 3] %}a{% if i == 2 %}b{% continue %}{% endif %}c{% endfor %}",
 "{% for i in [1, 2] %}{% if seen is defined %}seen{% else %}new{% endif %} {% set seen = 1 %}{% endfor %}",
 "[{{ '  x'.lstrip('\n') }}]",
 "{% if '' == false %}equal{% else %}different{% endif %}"]
JSON
cat >render.py <<'PY'
import json
from jinja2.sandbox import ImmutableSandboxedEnvironment
environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
for template in json.load(open("templates.json")):
    print(environment.from_string(template).render())
PY
cat >render.mjs <<'JS'
import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";
for (const template of JSON.parse(readFileSync("templates.json", "utf8"))) console.log(new Template(template).render({}));
JS
paste -d'|' <(venv/bin/python render.py) <(node render.mjs) | tee seen
diff - seen <<'TXT' || { echo "this has changed"; exit 1; }
acabac|acac
new new |new seen 
[  x]|[x]
different|equal
TXT
