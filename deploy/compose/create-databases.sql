-- Beside the database "mlflow", which the image makes: the users' own.
CREATE DATABASE mlflow_auth OWNER mlflow;
