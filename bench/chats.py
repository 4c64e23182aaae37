"""Seconds that transformers needs for the ids and masks of a file's chats: `python chats.py FOLDER TEMPLATE FILE`."""

import json
import sys
import time

from transformers import AutoTokenizer

folder, template, path = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
with open(template, encoding="utf-8") as file:
    tokenizer.chat_template = file.read()
with open(path, encoding="utf-8") as file:
    chats = [json.loads(line)["messages"] for line in file]
# Compiles the template, which only the first call does.
tokenizer.apply_chat_template(chats[0][:2], return_dict=True, return_assistant_tokens_mask=True)
start = time.perf_counter()
for messages in chats:
    tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
print(time.perf_counter() - start)
