package io.headrace.operator.stream;

import io.headrace.operator.plan.SourcePlan;

/** Records that can't be used: their bytes as they were, and in headers where and why. */
final class DeadLetters {
    private DeadLetters() {}

    static OutRecord record(SourcePlan source, Envelope event) {
        String[] headers = {
            "headrace.source", source.name(),
            "headrace.schema", source.schema(),
            "headrace.schema_version", source.schemaVersion(),
            "headrace.topic", source.topic(),
            "headrace.partition", Integer.toString(event.partition),
            "headrace.offset", Long.toString(event.offset),
            "headrace.timestamp", Long.toString(event.sentAt),
            "headrace.reason", event.reason,
            "headrace.message", event.message,
        };
        return new OutRecord(Outputs.DEAD_LETTERS, event.rawKey, event.raw, headers);
    }
}
