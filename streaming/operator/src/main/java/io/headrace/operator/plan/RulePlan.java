package io.headrace.operator.plan;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** A condition over an event and its features that flags the event. */
public record RulePlan(String name, JsonNode when) {}
