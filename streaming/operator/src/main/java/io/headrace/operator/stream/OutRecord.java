package io.headrace.operator.stream;

/** A record for Kafka: where it goes, what it is keyed by, and its bytes. */
public final class OutRecord {
    /** The topic. */
    public String topic;

    /** Decides the partition; records of one key keep their order. */
    public byte[] key;

    /** The content. */
    public byte[] value;

    /** Names and values in turn, or null where there are none. */
    public String[] headers;

    /** What the partition is chosen by instead of the key, or null. */
    public String placedBy;

    /** For serializers that fill it. */
    public OutRecord() {}

    /** A record of a key and a value. */
    public OutRecord(String topic, byte[] key, byte[] value) {
        this(topic, key, value, null);
    }

    /** A record with headers: names and values in turn. */
    public OutRecord(String topic, byte[] key, byte[] value, String[] headers) {
        this.topic = topic;
        this.key = key;
        this.value = value;
        this.headers = headers;
    }
}
