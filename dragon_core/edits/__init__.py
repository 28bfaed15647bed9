"""The editing tasks, one file each. A task is an :class:`~dragon_core.edits.base.Edit`; edits combine by chaining."""
