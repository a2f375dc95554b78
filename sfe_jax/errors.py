"""The exception for mistakes that a user can correct."""


class UserError(ValueError):
  """Bad input from a user.

  The message names the rule, the value received and what to do.  Command lines
  print it as one line and exit with code 2.  Any other exception is a bug and
  keeps its traceback.
  """
