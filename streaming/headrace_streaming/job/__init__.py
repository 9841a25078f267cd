"""The Flink job: assembled by PyFlink from a plan, run by the JVM alone."""
