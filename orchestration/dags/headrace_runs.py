"""The DAGs of one project: that of the folder HEADRACE_FOLDER, by default the built-in one.

Further projects have a file like this each: airflow dags of ``dags_of(folder, prefix="shop_")``.
"""

from headrace_factory.build import dags_of
from headrace_factory.document import project_folder

globals().update(dags_of(project_folder()))
