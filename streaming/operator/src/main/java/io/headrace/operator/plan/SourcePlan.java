package io.headrace.operator.plan;

import java.util.List;

/** An event source: its topic, its contract, and which columns say when and which event it is. */
public record SourcePlan(
        String name,
        String topic,
        String schema,
        String schemaVersion,
        String eventTime,
        String dedupKey,
        String availableAt,
        int rank,
        long earliestMs,
        long latestMs,
        List<ColumnPlan> columns,
        List<String> columnNames,
        List<SourceRule> rules) {

    /** Place of a column, -1 where there is none of that name. */
    public int place(String column) {
        return columnNames.indexOf(column);
    }

    /** Place of the event time. */
    public int timePlace() {
        return place(eventTime);
    }

    /** Place of the time at which an event could first be known, -1 where it is the event time. */
    public int availablePlace() {
        return availableAt == null ? -1 : place(availableAt);
    }

    /** Place of the dedup key. */
    public int dedupPlace() {
        return place(dedupKey);
    }
}
