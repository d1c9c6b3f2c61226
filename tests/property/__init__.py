"""Random schemas, random revisions and a failure at a random place, judged by the databases' own dumps."""
