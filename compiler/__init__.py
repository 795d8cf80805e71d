"""From the syntax tree to a plan of engine requests: semantics, IR, passes, plan. Nothing here does any IO."""
