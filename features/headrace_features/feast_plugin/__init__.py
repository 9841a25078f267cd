"""Headrace inside Feast: registry objects, offline store and online store."""

from headrace_features.feast_plugin.unchecked import leave_out_type_checks

leave_out_type_checks()
