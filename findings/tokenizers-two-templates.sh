#!/usr/bin/env bash
# tokenizers 0.23.3 (PyPI): a Sequence of two TemplateProcessing post-processors, one that puts a token before a text and one after it.
# Expected: <s> a </s>.
# Seen: <s> </s> a. The second template gets the first one's token and the text as a pair, and renders its template for pairs.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tokenizers==0.23.3
cat >encode.py <<'PY'
from tokenizers import Tokenizer, models, processors
tokenizer = Tokenizer(models.WordLevel({"a": 0, "<s>": 1, "</s>": 2}, unk_token="a"))
before = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 1)])
after = processors.TemplateProcessing("$A </s>", "$A </s> $B", [("</s>", 2)])
for steps in ([before], [after], [before, after]):
    tokenizer.post_processor = processors.Sequence(steps)
    print(*tokenizer.encode("a").tokens)
PY
venv/bin/python encode.py | tee seen
diff - seen <<'TXT' || { echo "this has changed"; exit 1; }
<s> a
a </s>
<s> </s> a
TXT
