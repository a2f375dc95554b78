"""The one exception that stands for a mistake a user can mend."""


class UserError(ValueError):
  """Bad input from a user: names the rule, the value received, the way out.

  Command lines print it as one line and exit with code 2; every other
  exception is a fault of ours and keeps its traceback.
  """
