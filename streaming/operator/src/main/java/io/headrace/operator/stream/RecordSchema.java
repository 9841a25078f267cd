package io.headrace.operator.stream;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.Header;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.header.internals.RecordHeader;

/** Sends records to their topics, if these are among those that a job writes to. */
public final class RecordSchema implements KafkaRecordSerializationSchema<OutRecord> {
    private static final long serialVersionUID = 1L;

    private final Map<String, String> topics;

    /**
     * To some topics; what is meant for others is left out.
     *
     * @param topics by the names that records have, those that they are sent to
     */
    public RecordSchema(Map<String, String> topics) {
        this.topics = new HashMap<>(topics);
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
            OutRecord record, KafkaSinkContext context, Long timestamp) {
        String topic = topics.get(record.topic);
        if (topic == null) {
            return null;
        }
        if (record.placedBy != null) {
            int[] partitions = context.getPartitionsForTopic(topic);
            int place = Math.floorMod(record.placedBy.hashCode(), partitions.length);
            return new ProducerRecord<>(topic, partitions[place], record.key, record.value);
        }
        if (record.headers == null) {
            return new ProducerRecord<>(topic, record.key, record.value);
        }
        List<Header> headers = new ArrayList<>(record.headers.length / 2);
        for (int i = 0; i < record.headers.length; i += 2) {
            byte[] value = record.headers[i + 1].getBytes(StandardCharsets.UTF_8);
            headers.add(new RecordHeader(record.headers[i], value));
        }
        return new ProducerRecord<>(topic, null, record.key, record.value, headers);
    }
}
