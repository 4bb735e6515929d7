"""Prints the records that record.rs is held to, as TensorBoard itself writes them.

    pip install tensorboard==2.21.0 && python golden.py
"""

import io

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

Start = event_pb2.SessionLog.START
value = summary_pb2.Summary.Value(tag="training/loss", simple_value=0.1)
events = {
    "VERSION": event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
    "RESTART": event_pb2.Event(
        wall_time=1.5, step=301, session_log=event_pb2.SessionLog(status=Start)
    ),
    "SCALAR": event_pb2.Event(
        wall_time=1.5, step=300, summary=summary_pb2.Summary(value=[value])
    ),
}
for name, event in events.items():
    out = io.BytesIO()
    RecordWriter(out).write(event.SerializeToString())
    print(name, out.getvalue().hex())
