//! Recordings of requests as rows: Azure, Mooncake, BurstGPT, tables, CSV and JSON lines by column.
