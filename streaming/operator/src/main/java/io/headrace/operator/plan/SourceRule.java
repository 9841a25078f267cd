package io.headrace.operator.plan;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/**
 * What an event has to fulfil beyond its contract.
 *
 * @param holds the condition of a rule of the kind ROW
 * @param column the column that a rule of the kind FORMAT is about
 * @param pattern what has to be found in it
 * @param withinMs how late an event may arrive by a rule of the kind TIMELY
 */
public record SourceRule(
        Kind kind, String name, JsonNode holds, String column, String pattern, long withinMs) {
    /** How a rule judges. */
    public enum Kind {
        ROW,
        FORMAT,
        TIMELY
    }
}
