import there_is_no_such_module_either  # noqa: F401
