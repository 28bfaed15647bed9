"""The editing tasks, one file each. A task is an :class:`~dragon_core.tasks.edit.Edit`; edits combine by chaining."""
