"""Which words to put before every text: models trained with a prompt lose accuracy without it.

All texts of greyzone are of one kind and are compared with each other (similarity, clustering), so the rule for "auto" is, in order:
1. the prompt that the model's own configuration makes its default (``default_prompt_name``);
2. its prompt for clustering, if it names one;
3. for E5 models ``query: ``, as their cards say for "symmetric tasks" and for "embeddings as features, such as clustering"
   (Wang et al., 2022, arXiv:2212.03533; 2024, arXiv:2402.05672); their ``-instruct`` variants take
   `E5_INSTRUCTION`, with the task that the authors use for semantic similarity;
4. its prompt for documents;
5. none. Prompts for queries alone belong to search, where the two sides differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

E5_PROMPT = "query: "
E5_INSTRUCTION = "Instruct: Retrieve semantically similar text.\nQuery: "

_E5 = re.compile(r"(?:^|[/_-])e5-(?:small|base|large|mistral)(?P<rest>[^/]*)", re.IGNORECASE)
_CLUSTERING = ("clustering",)
_DOCUMENTS = ("document", "passage", "corpus")


def choose_prompt(
    given: str, *, prompts: Mapping[str, str | None], default_name: str | None, names: Sequence[str | None]
) -> tuple[str, str]:
    """Return the prompt to use, and why.

    Parameters
    ----------
    given
        "auto" for the rule above; "" for none; anything else is the prompt itself.
    prompts, default_name
        The model's own prompts by name, and the name of its default one.
    names
        What the model is called: as it was asked for, and as its configuration says.

    Returns
    -------
    tuple[str, str]
        The prompt ("" for none) and its origin, for the record.
    """
    if given != "auto":
        return given, "as given" if given else "turned off"
    own = {name.casefold(): text for name, text in prompts.items() if text}
    if default_name and default_name.casefold() in own:
        return own[default_name.casefold()], f"the model's default prompt {default_name!r}"
    for name in _CLUSTERING:
        if name in own:
            return own[name], f"the model's prompt {name!r}"
    for called in names:
        if called and (met := _E5.search(called)):
            instructed = "instruct" in met["rest"].casefold()
            return (E5_INSTRUCTION, "the E5 instruction") if instructed else (E5_PROMPT, "the E5 prefix")
    for name in _DOCUMENTS:
        if name in own:
            return own[name], f"the model's prompt {name!r}"
    return "", "the model has none"
