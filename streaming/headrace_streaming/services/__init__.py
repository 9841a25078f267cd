"""The embedded services: Kafka, Flink and Redis on loopback, as real as any other."""
