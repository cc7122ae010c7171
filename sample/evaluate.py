"""python -m sample.evaluate: evaluate a model by the field's protocols, study a grid, or list recognised actions."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import sys

from motion_diffusion.errors import command, parse_arguments
from sample.evaluation.action_table import ActionOptions, action_table
from sample.evaluation.runner import ProtocolOptions, evaluate
from sample.evaluation.study import StudyOptions, study
from sample.evaluation.study_table import as_text


@command
def main() -> None:
    """Run the command."""
    arguments, prog = sys.argv[1:], "python -m sample.evaluate"
    if "--study" in arguments:
        arguments.remove("--study")
        print(as_text(study(parse_arguments(StudyOptions, prog=f"{prog} --study", args=arguments))))
    elif "--actions" in arguments:
        arguments.remove("--actions")
        print(action_table(parse_arguments(ActionOptions, prog=f"{prog} --actions", args=arguments)).as_text())
    elif evaluation := evaluate(parse_arguments(ProtocolOptions, prog=prog, args=arguments)):
        print(evaluation.as_markdown())


if __name__ == "__main__":
    main()
