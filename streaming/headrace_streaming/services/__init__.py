"""The embedded services: a Kafka broker and a Flink cluster on loopback, as real as any other."""
